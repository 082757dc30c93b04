// SPDX-License-Identifier: BSD-3-Clause
// Owners of libnl's objects, and the one way from a libnl failure to an Error.
#pragma once

#include <netlink/addr.h>
#include <netlink/cache.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/route.h>
#include <netlink/route/rule.h>
#include <netlink/socket.h>

#include <memory>
#include <string>

#include "src/base/address.h"
#include "src/base/result.h"

namespace nh {

template <auto put>
struct NlPut {
  template <class T>
  void operator()(T* object) const {
    put(object);
  }
};
using NlAddr = std::unique_ptr<nl_addr, NlPut<nl_addr_put>>;
using NlCache = std::unique_ptr<nl_cache, NlPut<nl_cache_free>>;
using RtLink = std::unique_ptr<rtnl_link, NlPut<rtnl_link_put>>;
using RtAddr = std::unique_ptr<rtnl_addr, NlPut<rtnl_addr_put>>;
using RtNeigh = std::unique_ptr<rtnl_neigh, NlPut<rtnl_neigh_put>>;
using NlMsg = std::unique_ptr<nl_msg, NlPut<nlmsg_free>>;
using RtRule = std::unique_ptr<rtnl_rule, NlPut<rtnl_rule_put>>;
using RtRoute = std::unique_ptr<rtnl_route, NlPut<rtnl_route_put>>;

/// A netlink socket of the network namespace that it was made in. Messages that do not come from the kernel are
/// ignored: whoever has CAP_NET_ADMIN in the namespace could send some.
class NlSocket {
 public:
  /// `protocol`: NETLINK_ROUTE, or another of netlink(7).
  static Result<NlSocket> connect(int protocol = NETLINK_ROUTE);

  nl_sock* get() const { return socket_.get(); }
  int fd() const { return nl_socket_get_fd(socket_.get()); }

  /// Ok, or an Error from what a libnl function returned: "step: libnl's text: errno's text". The kernel's own errno if
  /// it sent one.
  Result<> check(int libnl_result, const std::string& step);
  /// The kernel's errno of the last failed request, forgotten by the asking; 0: none.
  int take_errno();

 private:
  NlSocket() = default;
  static int on_error(sockaddr_nl* from, nlmsgerr* error, void* self) noexcept;
  static int on_message(nl_msg* message, void* self) noexcept;

  std::unique_ptr<nl_sock, NlPut<nl_socket_free>> socket_;
  std::unique_ptr<int> kernel_errno_;  // on the heap: libnl keeps a pointer to it
};

/// nullptr: out of memory.
NlAddr nl_address(const Address& address);
/// With a prefix length.
NlAddr nl_address(const Address& address, unsigned prefix);
NlAddr nl_address(const MacAddress& mac);

}  // namespace nh
