// SPDX-License-Identifier: BSD-3-Clause
// nf_tables speaks in batches (nfnetlink(7), linux/netfilter/nf_tables.h): what is between a BEGIN and an END message is
// taken wholly or not at all. Here each batch holds one thing, so that a refusal names it. The expressions are those that
// `nft --debug=netlink` shows for the same rules.
#include "tools/netns-run/nft_probe.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <functional>
#include <memory>

#include "src/netlink/nl_socket.h"

namespace nh::run {

namespace {

using namespace std::chrono_literals;

/// The kernel answers at once, unless it has to load a module first.
constexpr auto answer_time = 3s;
constexpr const char* table_name = "netns-doctor";

using Message = std::unique_ptr<nl_msg, NlPut<nlmsg_free>>;
using Socket = std::unique_ptr<nl_sock, NlPut<nl_socket_free>>;
using Fill = std::function<void(nl_msg*)>;

void put_u32(nl_msg* message, int type, std::uint32_t value) {
  nla_put_u32(message, type, htonl(value));
}

void put_nested(nl_msg* message, int type, const Fill& fill) {
  nlattr* nest = nla_nest_start(message, type);
  fill(message);
  nla_nest_end(message, nest);
}

void put_data(nl_msg* message, int type, std::uint32_t value, int length = 4) {
  put_nested(message, type, [&](nl_msg* m) { nla_put(m, NFTA_DATA_VALUE, length, &value); });
}

// ---- expressions; register 1 holds what is loaded and compared ----

void expression(nl_msg* rule, const char* name, const Fill& fill) {
  put_nested(rule, NFTA_LIST_ELEM, [&](nl_msg* m) {
    nla_put_string(m, NFTA_EXPR_NAME, name);
    put_nested(m, NFTA_EXPR_DATA, fill);
  });
}

void load_meta_mark(nl_msg* rule) {
  expression(rule, "meta", [](nl_msg* m) {
    put_u32(m, NFTA_META_DREG, NFT_REG_1);
    put_u32(m, NFTA_META_KEY, NFT_META_MARK);
  });
}

void set_meta_mark(nl_msg* rule) {
  expression(rule, "meta", [](nl_msg* m) {
    put_u32(m, NFTA_META_KEY, NFT_META_MARK);
    put_u32(m, NFTA_META_SREG, NFT_REG_1);
  });
}

void ct_mark(nl_msg* rule, int register_attribute) {
  expression(rule, "ct", [register_attribute](nl_msg* m) {
    put_u32(m, NFTA_CT_KEY, NFT_CT_MARK);
    put_u32(m, register_attribute, NFT_REG_1);
  });
}

void bits(nl_msg* rule, std::uint32_t mask, std::uint32_t flip, int length = 4) {
  expression(rule, "bitwise", [=](nl_msg* m) {
    put_u32(m, NFTA_BITWISE_SREG, NFT_REG_1);
    put_u32(m, NFTA_BITWISE_DREG, NFT_REG_1);
    put_u32(m, NFTA_BITWISE_LEN, static_cast<std::uint32_t>(length));
    put_data(m, NFTA_BITWISE_MASK, mask, length);
    put_data(m, NFTA_BITWISE_XOR, flip, length);
  });
}

void compare(nl_msg* rule, std::uint32_t value, int length = 4) {
  expression(rule, "cmp", [=](nl_msg* m) {
    put_u32(m, NFTA_CMP_SREG, NFT_REG_1);
    put_u32(m, NFTA_CMP_OP, NFT_CMP_EQ);
    put_data(m, NFTA_CMP_DATA, value, length);
  });
}

void tcp_flags(nl_msg* rule) {
  constexpr std::uint8_t syn = 0x02, syn_ack = 0x12;
  expression(rule, "meta", [](nl_msg* m) {
    put_u32(m, NFTA_META_DREG, NFT_REG_1);
    put_u32(m, NFTA_META_KEY, NFT_META_L4PROTO);
  });
  compare(rule, IPPROTO_TCP, 1);
  expression(rule, "payload", [](nl_msg* m) {
    put_u32(m, NFTA_PAYLOAD_DREG, NFT_REG_1);
    put_u32(m, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER);
    put_u32(m, NFTA_PAYLOAD_OFFSET, 13);
    put_u32(m, NFTA_PAYLOAD_LEN, 1);
  });
  bits(rule, syn_ack, 0, 1);
  compare(rule, syn, 1);
}

void socket_transparent(nl_msg* rule) {
  expression(rule, "socket", [](nl_msg* m) {
    put_u32(m, NFTA_SOCKET_KEY, NFT_SOCKET_TRANSPARENT);
    put_u32(m, NFTA_SOCKET_DREG, NFT_REG_1);
  });
  compare(rule, 1, 1);
}

void accept(nl_msg* rule) {
  expression(rule, "immediate", [](nl_msg* m) {
    put_u32(m, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    put_nested(m, NFTA_IMMEDIATE_DATA, [](nl_msg* data) {
      put_nested(data, NFTA_DATA_VERDICT, [](nl_msg* verdict) { put_u32(verdict, NFTA_VERDICT_CODE, NF_ACCEPT); });
    });
  });
}

// ---- batches ----

class Batch {
 public:
  Batch(nl_sock* socket, std::uint8_t family) : socket_(socket), family_(family) {}

  /// Sends one message in a batch of its own: 0, or the errno that it met.
  int send(int type, int flags, const Fill& fill) const {
    const Message begin = message(NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
    const Message end = message(NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
    const Message one = message((NFNL_SUBSYS_NFTABLES << 8) | type, flags | NLM_F_ACK, family_, 0);
    if (!begin || !end || !one) return ENOMEM;
    fill(one.get());
    std::vector<char> bytes;
    for (const Message* each : {&begin, &one, &end}) {
      nlmsghdr* header = nlmsg_hdr(each->get());
      header->nlmsg_seq = nl_socket_use_seq(socket_);
      const char* first = static_cast<const char*>(static_cast<const void*>(header));
      bytes.insert(bytes.end(), first, first + header->nlmsg_len);
      bytes.resize(NLMSG_ALIGN(bytes.size()));
    }
    const std::uint32_t sequence = nlmsg_hdr(one.get())->nlmsg_seq;
    if (nl_sendto(socket_, bytes.data(), bytes.size()) < 0) return errno != 0 ? errno : EIO;
    return answer(sequence);
  }

 private:
  static Message message(int type, int flags, std::uint8_t family, std::uint16_t resource) {
    Message made(nlmsg_alloc());
    nfgenmsg header{.nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(resource)};
    if (!made || nlmsg_put(made.get(), NL_AUTO_PORT, NL_AUTO_SEQ, type, 0, NLM_F_REQUEST | flags) == nullptr) return {};
    if (nlmsg_append(made.get(), &header, sizeof header, NLMSG_ALIGNTO) < 0) return {};
    return made;
  }

  int answer(std::uint32_t sequence) const {
    const auto deadline = std::chrono::steady_clock::now() + answer_time;
    alignas(nlmsghdr) std::array<char, 8192> bytes{};
    for (;;) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      pollfd readable{.fd = nl_socket_get_fd(socket_), .events = POLLIN, .revents = 0};
      if (left <= 0ms || poll(&readable, 1, static_cast<int>(left.count())) == 0) return ETIMEDOUT;
      const ssize_t size = recv(readable.fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (size < 0 && errno != EINTR && errno != EAGAIN) return errno;
      int remaining = static_cast<int>(size);
      for (auto* header = static_cast<nlmsghdr*>(static_cast<void*>(bytes.data())); nlmsg_ok(header, remaining);
           header = nlmsg_next(header, &remaining)) {
        if (header->nlmsg_type != NLMSG_ERROR || header->nlmsg_seq > sequence + 1 || header->nlmsg_seq + 1 < sequence)
          continue;
        return -static_cast<nlmsgerr*>(nlmsg_data(header))->error;
      }
    }
  }

  nl_sock* socket_;
  std::uint8_t family_;
};

Fill table() {
  return [](nl_msg* m) {
    nla_put_string(m, NFTA_TABLE_NAME, table_name);
    put_u32(m, NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER);
  };
}

Fill chain(const char* name, const char* type, std::uint32_t hook) {
  return [=](nl_msg* m) {
    nla_put_string(m, NFTA_CHAIN_TABLE, table_name);
    nla_put_string(m, NFTA_CHAIN_NAME, name);
    nla_put_string(m, NFTA_CHAIN_TYPE, type);
    put_nested(m, NFTA_CHAIN_HOOK, [hook](nl_msg* nest) {
      put_u32(nest, NFTA_HOOK_HOOKNUM, hook);
      put_u32(nest, NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(NF_IP_PRI_MANGLE));
    });
  };
}

Fill rule(const char* in_chain, Fill expressions) {
  return [=](nl_msg* m) {
    nla_put_string(m, NFTA_RULE_TABLE, table_name);
    nla_put_string(m, NFTA_RULE_CHAIN, in_chain);
    put_nested(m, NFTA_RULE_EXPRESSIONS, expressions);
  };
}

struct Piece {
  const char* name;
  int type, flags;
  Fill fill;
};

std::vector<Piece> pieces() {
  constexpr std::uint32_t bit = 1u << 28;
  constexpr int make = NLM_F_CREATE, append = NLM_F_CREATE | NLM_F_APPEND;
  return {{"table of our own (owner flag)", NFT_MSG_NEWTABLE, make, table()},
          {"route chain at output", NFT_MSG_NEWCHAIN, make, chain("out", "route", NF_INET_LOCAL_OUT)},
          {"filter chain at prerouting", NFT_MSG_NEWCHAIN, make, chain("pre", "filter", NF_INET_PRE_ROUTING)},
          {"rule with meta mark and ct mark", NFT_MSG_NEWRULE, append,
           rule("out",
                [](nl_msg* m) {
                  load_meta_mark(m);
                  bits(m, bit, 0);
                  compare(m, bit);
                  ct_mark(m, NFTA_CT_DREG);
                  bits(m, ~bit, bit);
                  ct_mark(m, NFTA_CT_SREG);
                  accept(m);
                })},
          {"rule with tcp flags and meta mark set", NFT_MSG_NEWRULE, append,
           rule("out",
                [](nl_msg* m) {
                  tcp_flags(m);
                  load_meta_mark(m);
                  bits(m, ~bit, bit);
                  set_meta_mark(m);
                })},
          {"rule with socket transparent", NFT_MSG_NEWRULE, append, rule("pre", [](nl_msg* m) {
             socket_transparent(m);
             load_meta_mark(m);
             bits(m, ~bit, bit);
             set_meta_mark(m);
           })}};
}

}  // namespace

Result<std::vector<std::string>> try_nf_tables() {
  const Socket socket(nl_socket_alloc());
  if (!socket) return sys_error(ENOMEM, "making a netlink socket");
  if (const int connected = nl_connect(socket.get(), NETLINK_NETFILTER); connected < 0)
    return Error{.code = Code::unsupported, .what = std::string("connecting to nfnetlink: ") + nl_geterror(connected)};
  struct Family {
    std::uint8_t number;
    const char* name;
  };
  std::vector<std::string> refused;
  for (const Family& family : {Family{NFPROTO_IPV4, "ip "}, Family{NFPROTO_IPV6, "ip6 "}}) {
    const Batch batch(socket.get(), family.number);
    for (const Piece& piece : pieces()) {
      const int err = batch.send(piece.type, piece.flags, piece.fill);
      if (err == 0) continue;
      Error error = sys_error(err, family.name + std::string(piece.name));
      if (piece.type == NFT_MSG_NEWTABLE && family.number == NFPROTO_IPV4) return error;
      refused.push_back(error.message());
      if (piece.type == NFT_MSG_NEWTABLE) break;  // nothing else could be in it
    }
  }
  return refused;
}

}  // namespace nh::run
