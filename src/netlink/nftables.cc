// SPDX-License-Identifier: BSD-3-Clause
// Longer than most: the kernel's messages for tables, chains, rules and sets are built of the same few parts, which nothing else needs.
#include "src/netlink/nftables.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4.h>
#include <netlink/attr.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "src/base/clock.h"
#include "src/base/limits.h"

namespace nh::nft {

namespace {

/// Bytes of one message; the largest is that of a full address set.
constexpr std::size_t message_size = 16384;

// linux/netfilter/nf_tables.h has no names for set key types; these are those of nft (datatype.h), which it shows them by.
constexpr std::uint32_t key_ipv4 = 7, key_ipv6 = 8;

std::uint8_t number_of(Family family) {
  return family == Family::v4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
}

std::string prefix_of(Family family) {
  return family == Family::v4 ? "ip " : "ip6 ";
}

void put_u32(nl_msg* message, int type, std::uint32_t value) {
  nla_put_u32(message, type, htonl(value));
}

void put_nested(nl_msg* message, int type, const std::function<void()>& fill) {
  nlattr* nest = nla_nest_start(message, type);
  if (nest == nullptr) return;  // full, which the sender sees by its length
  fill();
  nla_nest_end(message, nest);
}

void put_data(nl_msg* message, int type, std::uint32_t value, int length) {
  put_nested(message, type, [&] {
    if (length == 1)
      nla_put_u8(message, NFTA_DATA_VALUE, static_cast<std::uint8_t>(value));
    else
      nla_put_u32(message, NFTA_DATA_VALUE, value);
  });
}

NlMsg make_message(int type, int flags, std::uint8_t family, std::uint16_t resource) {
  NlMsg made(nlmsg_alloc_size(message_size));
  nfgenmsg header{.nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(resource)};
  if (!made || nlmsg_put(made.get(), NL_AUTO_PORT, NL_AUTO_SEQ, type, 0, NLM_F_REQUEST | flags) == nullptr ||
      nlmsg_append(made.get(), &header, sizeof header, NLMSG_ALIGNTO) < 0)
    return {};
  return made;
}

void append(std::vector<std::uint8_t>& bytes, nl_msg* message) {
  const nlmsghdr* header = nlmsg_hdr(message);
  const auto* first = static_cast<const std::uint8_t*>(static_cast<const void*>(header));
  bytes.insert(bytes.end(), first, first + header->nlmsg_len);
  bytes.resize(NLMSG_ALIGN(bytes.size()));
}

/// What one received buffer says of the messages from `first` to `last`.
struct Answers {
  std::uint32_t first, last;  ///< sequence numbers; `first` is BEGIN's
  std::uint32_t taken = 0;
  std::uint32_t refused = 0;  ///< sequence number of the first one
  int error = 0;

  void read(std::span<char> bytes) {
    int left = static_cast<int>(bytes.size());
    for (auto* header = static_cast<nlmsghdr*>(static_cast<void*>(bytes.data())); nlmsg_ok(header, left);
         header = nlmsg_next(header, &left)) {
      if (header->nlmsg_type != NLMSG_ERROR || header->nlmsg_seq < first || header->nlmsg_seq > last) continue;
      const int err = -static_cast<const nlmsgerr*>(nlmsg_data(header))->error;
      if (err == 0) {
        ++taken;
      } else if (error == 0) {
        error = err;
        refused = header->nlmsg_seq;
      }
    }
  }
};

}  // namespace

void Expressions::expression(const char* name, const std::function<void()>& fill) {
  put_nested(message_, NFTA_LIST_ELEM, [&] {
    nla_put_string(message_, NFTA_EXPR_NAME, name);
    put_nested(message_, NFTA_EXPR_DATA, fill);
  });
}

void Expressions::load_mark() {
  expression("meta", [this] {
    put_u32(message_, NFTA_META_DREG, NFT_REG_1);
    put_u32(message_, NFTA_META_KEY, NFT_META_MARK);
  });
  loaded(4);
}

void Expressions::load_input_interface() {
  expression("meta", [this] {
    put_u32(message_, NFTA_META_DREG, NFT_REG_1);
    put_u32(message_, NFTA_META_KEY, NFT_META_IIF);
  });
  loaded(4);
}

void Expressions::load_output_interface() {
  expression("meta", [this] {
    put_u32(message_, NFTA_META_DREG, NFT_REG_1);
    put_u32(message_, NFTA_META_KEY, NFT_META_OIF);
  });
  loaded(4);
}

void Expressions::load_transport() {
  expression("meta", [this] {
    put_u32(message_, NFTA_META_DREG, NFT_REG_1);
    put_u32(message_, NFTA_META_KEY, NFT_META_L4PROTO);
  });
  loaded(1);
}

void Expressions::store_mark() {
  expression("meta", [this] {
    put_u32(message_, NFTA_META_KEY, NFT_META_MARK);
    put_u32(message_, NFTA_META_SREG, NFT_REG_1);
  });
}

void Expressions::load_connection_mark() {
  expression("ct", [this] {
    put_u32(message_, NFTA_CT_KEY, NFT_CT_MARK);
    put_u32(message_, NFTA_CT_DREG, NFT_REG_1);
  });
  loaded(4);
}

void Expressions::store_connection_mark() {
  expression("ct", [this] {
    put_u32(message_, NFTA_CT_KEY, NFT_CT_MARK);
    put_u32(message_, NFTA_CT_SREG, NFT_REG_1);
  });
}

void Expressions::load_tcp_flags() {
  expression("payload", [this] {
    put_u32(message_, NFTA_PAYLOAD_DREG, NFT_REG_1);
    put_u32(message_, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER);
    put_u32(message_, NFTA_PAYLOAD_OFFSET, 13);  // RFC 9293 3.1
    put_u32(message_, NFTA_PAYLOAD_LEN, 1);
  });
  loaded(1);
}

void Expressions::load_source(Family family) {
  const bool v4 = family == Family::v4;
  expression("payload", [this, v4] {
    put_u32(message_, NFTA_PAYLOAD_DREG, NFT_REG_1);
    put_u32(message_, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
    put_u32(message_, NFTA_PAYLOAD_OFFSET, v4 ? 12 : 8);  // RFC 791 3.1, RFC 8200 3
    put_u32(message_, NFTA_PAYLOAD_LEN, v4 ? 4 : 16);
  });
  loaded(v4 ? 4 : 16);
}

void Expressions::load_socket_transparent() {
  expression("socket", [this] {
    put_u32(message_, NFTA_SOCKET_KEY, NFT_SOCKET_TRANSPARENT);
    put_u32(message_, NFTA_SOCKET_DREG, NFT_REG_1);
  });
  loaded(1);
}

void Expressions::bits(std::uint32_t mask, std::uint32_t flip) {
  NH_BUG_IF(width_ > 4);
  expression("bitwise", [=, this] {
    put_u32(message_, NFTA_BITWISE_SREG, NFT_REG_1);
    put_u32(message_, NFTA_BITWISE_DREG, NFT_REG_1);
    put_u32(message_, NFTA_BITWISE_LEN, static_cast<std::uint32_t>(width_));
    put_data(message_, NFTA_BITWISE_MASK, mask, width_);
    put_data(message_, NFTA_BITWISE_XOR, flip, width_);
  });
}

void Expressions::compare(std::uint32_t operation, std::uint32_t value) {
  NH_BUG_IF(width_ > 4);
  expression("cmp", [=, this] {
    put_u32(message_, NFTA_CMP_SREG, NFT_REG_1);
    put_u32(message_, NFTA_CMP_OP, operation);
    put_data(message_, NFTA_CMP_DATA, value, width_);
  });
}

void Expressions::equal(std::uint32_t value) {
  compare(NFT_CMP_EQ, value);
}

void Expressions::not_equal(std::uint32_t value) {
  compare(NFT_CMP_NEQ, value);
}

void Expressions::in_set(const std::string& set) {
  expression("lookup", [&] {
    nla_put_string(message_, NFTA_LOOKUP_SET, set.c_str());
    put_u32(message_, NFTA_LOOKUP_SREG, NFT_REG_1);
  });
}

void Expressions::accept() {
  expression("immediate", [this] {
    put_u32(message_, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    put_nested(message_, NFTA_IMMEDIATE_DATA, [this] {
      put_nested(message_, NFTA_DATA_VERDICT, [this] { put_u32(message_, NFTA_VERDICT_CODE, NF_ACCEPT); });
    });
  });
}

void Expressions::translate_source(Family family) {
  expression("nat", [this, family] {
    put_u32(message_, NFTA_NAT_TYPE, NFT_NAT_SNAT);
    put_u32(message_, NFTA_NAT_FAMILY, number_of(family));
    put_u32(message_, NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
  });
}

void Batch::add(int type, int flags, std::string words, const std::function<void(nl_msg*)>& fill) {
  Part part{.message = make_message((NFNL_SUBSYS_NFTABLES << 8) | type, flags | NLM_F_ACK, number_of(family_), 0),
            .words = prefix_of(family_) + std::move(words)};
  if (part.message) fill(part.message.get());
  // A message that is full lacks what came last; one with room left for the largest attribute is whole.
  constexpr std::uint32_t largest_attribute = 256;
  if (!part.message || nlmsg_hdr(part.message.get())->nlmsg_len + largest_attribute > message_size) too_large_ = true;
  parts_.push_back(std::move(part));
}

void Batch::add_table() {
  add(NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, "table of our own (owner flag)", [this](nl_msg* m) {
    nla_put_string(m, NFTA_TABLE_NAME, table_.c_str());
    put_u32(m, NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER);
  });
}

void Batch::delete_table() {
  add(NFT_MSG_DELTABLE, 0, "removal of our table",
      [this](nl_msg* m) { nla_put_string(m, NFTA_TABLE_NAME, table_.c_str()); });
}

void Batch::add_chain(const std::string& name, Hook hook) {
  struct Kind {
    const char* type;
    const char* words;
    std::uint32_t hook;
    int priority;
  };
  constexpr static std::array<Kind, 3> kinds{
      {{"filter", "filter chain at prerouting", NF_INET_PRE_ROUTING, NF_IP_PRI_MANGLE},
       {"route", "route chain at output", NF_INET_LOCAL_OUT, NF_IP_PRI_MANGLE},
       {"nat", "nat chain at postrouting", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC - 1}}};
  const Kind& kind = kinds[static_cast<std::size_t>(hook)];
  add(NFT_MSG_NEWCHAIN, NLM_F_CREATE, kind.words, [this, &name, &kind](nl_msg* m) {
    nla_put_string(m, NFTA_CHAIN_TABLE, table_.c_str());
    nla_put_string(m, NFTA_CHAIN_NAME, name.c_str());
    nla_put_string(m, NFTA_CHAIN_TYPE, kind.type);
    put_nested(m, NFTA_CHAIN_HOOK, [m, &kind] {
      put_u32(m, NFTA_HOOK_HOOKNUM, kind.hook);
      put_u32(m, NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(kind.priority));
    });
  });
}

void Batch::add_address_set(const std::string& name) {
  add(NFT_MSG_NEWSET, NLM_F_CREATE, "set of addresses", [this, &name](nl_msg* m) {
    nla_put_string(m, NFTA_SET_TABLE, table_.c_str());
    nla_put_string(m, NFTA_SET_NAME, name.c_str());
    put_u32(m, NFTA_SET_KEY_TYPE, family_ == Family::v4 ? key_ipv4 : key_ipv6);
    put_u32(m, NFTA_SET_KEY_LEN, family_ == Family::v4 ? 4 : 16);
    put_u32(m, NFTA_SET_ID, 1);  // wanted of each new set; a lookup in the same batch may use it instead of the name
  });
}

void Batch::set_addresses(const std::string& set, std::span<const Address> addresses) {
  const auto names = [this, &set](nl_msg* m) {
    nla_put_string(m, NFTA_SET_ELEM_LIST_TABLE, table_.c_str());
    nla_put_string(m, NFTA_SET_ELEM_LIST_SET, set.c_str());
  };
  add(NFT_MSG_DELSETELEM, 0, "emptying of a set", names);  // without elements: all
  const auto ours = [this](const Address& address) { return address.family() == family_; };
  if (std::none_of(addresses.begin(), addresses.end(), ours)) return;
  add(NFT_MSG_NEWSETELEM, NLM_F_CREATE, "addresses of a set", [&](nl_msg* m) {
    names(m);
    put_nested(m, NFTA_SET_ELEM_LIST_ELEMENTS, [&] {
      for (const Address& address : addresses) {
        if (!ours(address)) continue;
        put_nested(m, NFTA_LIST_ELEM, [&] {
          put_nested(m, NFTA_SET_ELEM_KEY,
                     [&] { nla_put(m, NFTA_DATA_VALUE, static_cast<int>(address.bytes().size()), address.bytes().data()); });
        });
      }
    });
  });
}

void Batch::add_rule(const std::string& chain, const std::string& words, const std::function<void(Expressions&)>& fill) {
  add(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, "rule with " + words, [&](nl_msg* m) {
    nla_put_string(m, NFTA_RULE_TABLE, table_.c_str());
    nla_put_string(m, NFTA_RULE_CHAIN, chain.c_str());
    put_nested(m, NFTA_RULE_EXPRESSIONS, [&] {
      Expressions expressions(m);
      fill(expressions);
    });
  });
}

std::vector<std::uint8_t> Batch::bytes() const {
  std::vector<std::uint8_t> bytes;
  for (const Part& part : parts_) append(bytes, part.message.get());
  return bytes;
}

Result<> Batch::commit(NlSocket& socket) {
  const NlMsg begin = make_message(NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
  const NlMsg end = make_message(NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
  if (!begin || !end) return sys_error(ENOMEM, "nf_tables");
  if (too_large_) return sys_error(EMSGSIZE, "nf_tables: a message is too large");
  Answers answers{.first = nl_socket_use_seq(socket.get()), .last = 0};
  nlmsg_hdr(begin.get())->nlmsg_seq = answers.first;
  for (const Part& part : parts_) nlmsg_hdr(part.message.get())->nlmsg_seq = nl_socket_use_seq(socket.get());
  answers.last = nl_socket_use_seq(socket.get());
  nlmsg_hdr(end.get())->nlmsg_seq = answers.last;

  std::vector<std::uint8_t> whole;
  append(whole, begin.get());
  const std::vector<std::uint8_t> middle = bytes();
  whole.insert(whole.end(), middle.begin(), middle.end());
  append(whole, end.get());
  if (const int sent = nl_sendto(socket.get(), whole.data(), whole.size()); sent < 0)
    return Error{.code = Code::failed, .what = std::string("sending to nf_tables: ") + nl_geterror(sent)};

  // The kernel answers at once, unless it has to load a module first.
  const MonotonicClock clock;
  const Instant deadline = clock.now() + limits::nftables_answer;
  alignas(nlmsghdr) std::array<char, 32768> buffer{};
  while (answers.error == 0 && answers.taken < parts_.size()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock.now()).count();
    pollfd readable{.fd = socket.fd(), .events = POLLIN, .revents = 0};
    if (left <= 0 || poll(&readable, 1, static_cast<int>(left)) == 0)
      return Error{.code = Code::timeout, .sys_errno = 0, .what = "nf_tables did not answer"};
    const ssize_t size = recv(socket.fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size < 0 && errno != EINTR && errno != EAGAIN) return sys_error("listening to nf_tables");
    if (size > 0) answers.read(std::span(buffer).first(static_cast<std::size_t>(size)));
  }
  if (answers.error == 0) return Ok{};
  // Every answer is there by now; what is left must not be taken for one to a later question.
  for (std::size_t i = 0; i < parts_.size(); ++i)
    if (recv(socket.fd(), buffer.data(), buffer.size(), MSG_DONTWAIT) < 0) break;
  const std::size_t index = answers.refused - answers.first - 1;
  return sys_error(answers.error, index < parts_.size() ? parts_[index].words : "nf_tables");
}

namespace {

/// One dump; in_use: the tables changed meanwhile.
Result<std::vector<std::string>> dump_table_names(NlSocket& socket, Family family) {
  const std::string step = "listing the tables of nf_tables";
  const NlMsg ask = make_message((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETTABLE, NLM_F_DUMP, number_of(family), 0);
  if (!ask) return sys_error(ENOMEM, step);
  NH_TRY(socket.check(nl_send_auto(socket.get(), ask.get()), step));
  std::vector<std::string> names;
  const auto on_table = [](nl_msg* message, void* to) {
    std::array<nlattr*, NFTA_TABLE_MAX + 1> attributes{};
    if (nlmsg_parse(nlmsg_hdr(message), sizeof(nfgenmsg), attributes.data(), NFTA_TABLE_MAX, nullptr) >= 0 &&
        attributes[NFTA_TABLE_NAME] != nullptr)
      static_cast<std::vector<std::string>*>(to)->emplace_back(nla_get_string(attributes[NFTA_TABLE_NAME]));
    return static_cast<int>(NL_OK);
  };
  nl_socket_modify_cb(socket.get(), NL_CB_VALID, NL_CB_CUSTOM, on_table, &names);
  nl_socket_disable_seq_check(socket.get());  // answers to batches count differently
  const int result = nl_recvmsgs_default(socket.get());
  nl_socket_modify_cb(socket.get(), NL_CB_VALID, NL_CB_DEFAULT, nullptr, nullptr);
  if (result == -NLE_DUMP_INTR) return Error{.code = Code::in_use, .what = step + ": they change all the time"};
  NH_TRY(socket.check(result, step));
  return names;
}

}  // namespace

Result<std::vector<std::string>> table_names(NlSocket& socket, Family family) {
  // Any change of the namespace's rules that comes between two parts of a dump makes it void (nf_tables_api.c nft_base_seq); helpers
  // that start in the same moment make a few each.
  constexpr int dumps = 32;
  for (int left = dumps - 1; left > 0; --left) {
    auto names = dump_table_names(socket, family);
    if (names || names.error().code != Code::in_use) return names;
  }
  return dump_table_names(socket, family);
}

}  // namespace nh::nft
