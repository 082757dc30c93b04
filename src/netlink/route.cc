// SPDX-License-Identifier: BSD-3-Clause
#include "src/netlink/route.h"

#include <linux/rtnetlink.h>
#include <netlink/route/nexthop.h>
#include <poll.h>

#include <cerrno>
#include <ctime>

#include "src/base/clock.h"
#include "src/base/limits.h"

namespace nh {

namespace {

Result<RtRoute> object_for(int ifindex, const Address& gateway) {
  const NlAddr via = nl_address(gateway);
  const NlAddr everything = nl_address(Address::any(gateway.family()), 0);
  RtRoute object(rtnl_route_alloc());
  rtnl_nexthop* hop = rtnl_route_nh_alloc();
  if (!via || !everything || !object || hop == nullptr) {
    if (hop != nullptr) rtnl_route_nh_free(hop);
    return sys_error(ENOMEM, "describing a route");
  }
  rtnl_route_nh_set_ifindex(hop, ifindex);
  rtnl_route_nh_set_gateway(hop, via.get());
  rtnl_route_add_nexthop(object.get(), hop);  // which takes the hop over
  rtnl_route_set_family(object.get(), gateway.is_v4() ? AF_INET : AF_INET6);
  rtnl_route_set_dst(object.get(), everything.get());
  rtnl_route_set_table(object.get(), RT_TABLE_MAIN);
  rtnl_route_set_scope(object.get(), RT_SCOPE_UNIVERSE);
  rtnl_route_set_protocol(object.get(), RTPROT_STATIC);
  rtnl_route_set_type(object.get(), RTN_UNICAST);
  return object;
}

}  // namespace

Result<> add_default_route(NlSocket& netlink, int ifindex, const Address& gateway, UndoLog& undo) {
  NH_LET(route, object_for(ifindex, gateway));
  // NLM_F_CREATE alone: an IPv4 route goes in front of others of its kind, and only the very same one exists already.
  const int result = rtnl_route_add(netlink.get(), route.get(), NLM_F_CREATE);
  if (result == -NLE_EXIST) {
    netlink.take_errno();
    return Ok{};
  }
  NH_TRY(netlink.check(result, "adding the default route via " + gateway.text()));
  undo.add([&netlink, ifindex, gateway]() -> Result<> {
    NH_LET(gone, object_for(ifindex, gateway));
    return netlink.check(rtnl_route_delete(netlink.get(), gone.get(), 0),
                         "removing the default route via " + gateway.text());
  });
  return Ok{};
}

Result<> wait_until_local(NlSocket& netlink, const Address& address) {
  const NlAddr destination = nl_address(address);
  if (!destination) return sys_error(ENOMEM, "looking up a route");
  // The kernel's worker takes about 0.1 ms, much less than the shortest time-out of poll(2).
  constexpr timespec pause{.tv_sec = 0, .tv_nsec = 50'000};
  const MonotonicClock clock;
  const Instant give_up = clock.now() + limits::local_route_wait;
  do {
    rtnl_route* found = nullptr;
    const int result = rtnl_route_lookup(netlink.get(), destination.get(), &found);
    const RtRoute route(found);
    netlink.take_errno();  // until then there may be no route at all, which is no failure
    if (result >= 0 && route && rtnl_route_get_type(route.get()) == RTN_LOCAL) return Ok{};
    ppoll(nullptr, 0, &pause, nullptr);
  } while (clock.now() < give_up);
  return Error{
      .code = Code::timeout, .sys_errno = 0, .what = "the kernel does not deliver to address " + address.text() + " yet"};
}

Result<int> interface_towards(NlSocket& netlink, const Address& address) {
  const NlAddr destination = nl_address(address);
  if (!destination) return sys_error(ENOMEM, "looking up a route");
  rtnl_route* found = nullptr;
  NH_TRY(netlink.check(rtnl_route_lookup(netlink.get(), destination.get(), &found),
                       "looking up the route to " + address.text()));
  const RtRoute route(found);
  rtnl_nexthop* const hop = route ? rtnl_route_nexthop_n(route.get(), 0) : nullptr;
  if (hop == nullptr) return Error{.code = Code::missing, .sys_errno = 0, .what = "there is no route to " + address.text()};
  return rtnl_route_nh_get_ifindex(hop);
}

}  // namespace nh
