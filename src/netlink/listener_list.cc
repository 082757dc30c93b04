// SPDX-License-Identifier: BSD-3-Clause
#include "src/netlink/listener_list.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cerrno>

namespace nh {

namespace {

struct Dump {
  const std::set<std::uint64_t>& ours;
  std::set<std::uint64_t> met = {};
  std::size_t most;
  bool udp = false;
  ListenerList list = {};
};

int on_socket(nl_msg* message, void* context) noexcept {
  auto& dump = *static_cast<Dump*>(context);
  nlmsghdr* header = nlmsg_hdr(message);
  if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY || !nlmsg_valid_hdr(header, sizeof(inet_diag_msg))) return NL_OK;
  const auto* found = static_cast<const inet_diag_msg*>(nlmsg_data(header));
  const std::uint64_t cookie = found->id.idiag_cookie[0] | std::uint64_t{found->id.idiag_cookie[1]} << 32;
  if (dump.ours.contains(cookie)) {
    dump.met.insert(cookie);
    return NL_OK;
  }
  if (dump.list.listeners.size() >= dump.most) {
    dump.list.more = true;
    return NL_OK;
  }
  const auto* bytes = static_cast<const std::uint8_t*>(static_cast<const void*>(found->id.idiag_src));
  dump.list.listeners.push_back(
      {.udp = dump.udp,
       .at = {.address = Address::from_bytes(Bytes(bytes, found->idiag_family == AF_INET ? 4 : 16)),
              .port = ntohs(found->id.idiag_sport)}});
  return NL_OK;
}

}  // namespace

Result<ListenerList> list_listeners(NlSocket& diag, std::set<std::uint64_t>& ours, std::size_t most) {
  const std::string step = "listing what the guest listens on";
  Dump dump{.ours = ours, .most = most};
  nl_socket_modify_cb(diag.get(), NL_CB_VALID, NL_CB_CUSTOM, &on_socket, &dump);
  int result = 0;
  for (const bool udp : {false, true}) {
    for (const int family : {AF_INET, AF_INET6}) {
      dump.udp = udp;
      inet_diag_req_v2 request{};
      request.sdiag_family = static_cast<std::uint8_t>(family);
      request.sdiag_protocol = udp ? IPPROTO_UDP : IPPROTO_TCP;
      request.idiag_states = 1u << (udp ? TCP_CLOSE : TCP_LISTEN);  // a UDP socket without a peer is in TCP_CLOSE
      result = nl_send_simple(diag.get(), SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request, sizeof request);
      if (result >= 0) result = nl_recvmsgs_default(diag.get());
      // A kernel without this family, or without the dump for it, has nothing of it to tell.
      const int err = diag.take_errno();
      if (result < 0 && (err == ENOENT || err == EAFNOSUPPORT)) result = 0;
      if (result < 0) break;
    }
    if (result < 0) break;
  }
  nl_socket_modify_cb(diag.get(), NL_CB_VALID, NL_CB_DEFAULT, nullptr, nullptr);
  NH_TRY(diag.check(result, step));
  std::erase_if(ours, [&](std::uint64_t cookie) { return !dump.met.contains(cookie); });
  auto& list = dump.list.listeners;
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
  return std::move(dump.list);
}

}  // namespace nh
