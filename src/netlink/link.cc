// SPDX-License-Identifier: BSD-3-Clause
#include "src/netlink/link.h"

#include <linux/ip.h>
#include <net/if.h>
#include <netlink/route/link/inet.h>
#include <netlink/route/link/inet6.h>

#include <algorithm>
#include <cerrno>
#include <functional>

namespace nh {

namespace {

/// Sends the attributes that `fill` sets, for the interface with this index.
Result<> change(NlSocket& netlink, int ifindex, const std::string& step, const std::function<void(rtnl_link*)>& fill) {
  RtLink named(rtnl_link_alloc()), changes(rtnl_link_alloc());
  if (!named || !changes) return sys_error(ENOMEM, step);
  rtnl_link_set_ifindex(named.get(), ifindex);
  fill(changes.get());
  return netlink.check(rtnl_link_change(netlink.get(), named.get(), changes.get(), 0), step);
}

}  // namespace

Result<RtLink> find_link(NlSocket& netlink, const std::string& name) {
  rtnl_link* found = nullptr;
  const std::string step = "looking for interface " + name;
  const int result = rtnl_link_get_kernel(netlink.get(), 0, name.c_str(), &found);
  // libnl takes the kernel's errno for itself here.
  if (result == -NLE_NODEV || result == -NLE_OBJ_NOTFOUND) return sys_error(ENODEV, step);
  NH_TRY(netlink.check(result, step));
  return RtLink(found);
}

Result<> set_link_up(NlSocket& netlink, rtnl_link* link, UndoLog& undo) {
  if ((rtnl_link_get_flags(link) & IFF_UP) != 0) return Ok{};
  const int ifindex = rtnl_link_get_ifindex(link);
  undo.add([&netlink, ifindex] {
    return change(netlink, ifindex, "taking the interface down again",
                  [](rtnl_link* l) { rtnl_link_unset_flags(l, IFF_UP); });
  });
  return change(netlink, ifindex, "bringing the interface up", [](rtnl_link* l) { rtnl_link_set_flags(l, IFF_UP); });
}

Result<> set_link_mtu(NlSocket& netlink, rtnl_link* link, unsigned mtu, UndoLog& undo) {
  const unsigned former = rtnl_link_get_mtu(link);
  if (former == mtu) return Ok{};
  const int ifindex = rtnl_link_get_ifindex(link);
  undo.add([&netlink, ifindex, former] {
    return change(netlink, ifindex, "restoring the MTU", [former](rtnl_link* l) { rtnl_link_set_mtu(l, former); });
  });
  return change(netlink, ifindex, "setting the MTU to " + std::to_string(mtu),
                [mtu](rtnl_link* l) { rtnl_link_set_mtu(l, mtu); });
}

Result<> set_link_mac(NlSocket& netlink, rtnl_link* link, const MacAddress& mac, UndoLog& undo) {
  const MacAddress former = mac_of(link);
  if (former == mac) return Ok{};
  const int ifindex = rtnl_link_get_ifindex(link);
  const auto set = [&netlink, ifindex](const MacAddress& to, const std::string& step) -> Result<> {
    const NlAddr address = nl_address(to);
    if (!address) return sys_error(ENOMEM, step);
    return change(netlink, ifindex, step, [&address](rtnl_link* l) { rtnl_link_set_addr(l, address.get()); });
  };
  undo.add([set, former] { return set(former, "restoring the MAC address"); });
  return set(mac, "setting the MAC address " + mac.text());
}

Result<> set_link_queue_length(NlSocket& netlink, rtnl_link* link, unsigned packets, UndoLog& undo) {
  const unsigned former = rtnl_link_get_txqlen(link);
  if (former == packets) return Ok{};
  const int ifindex = rtnl_link_get_ifindex(link);
  undo.add([&netlink, ifindex, former] {
    return change(netlink, ifindex, "restoring the queue length",
                  [former](rtnl_link* l) { rtnl_link_set_txqlen(l, former); });
  });
  return change(netlink, ifindex, "setting the queue length", [packets](rtnl_link* l) { rtnl_link_set_txqlen(l, packets); });
}

namespace {

Result<> switch_on(NlSocket& netlink, rtnl_link* link, int setting, const std::string& name, UndoLog& undo) {
  const auto key = static_cast<unsigned>(setting);
  std::uint32_t now = 0;
  if (rtnl_link_inet_get_conf(link, key, &now) == 0 && now != 0) return Ok{};
  const int ifindex = rtnl_link_get_ifindex(link);
  const auto set = [&netlink, ifindex, key](std::uint32_t value, const std::string& step) {
    return change(netlink, ifindex, step, [key, value](rtnl_link* l) { rtnl_link_inet_set_conf(l, key, value); });
  };
  undo.add([set, name] { return set(0, "clearing " + name); });
  return set(1, "setting " + name);
}

}  // namespace

Result<> set_route_localnet(NlSocket& netlink, rtnl_link* link, UndoLog& undo) {
  return switch_on(netlink, link, IPV4_DEVCONF_ROUTE_LOCALNET, "route_localnet", undo);
}

Result<> set_accept_local(NlSocket& netlink, rtnl_link* link, UndoLog& undo) {
  return switch_on(netlink, link, IPV4_DEVCONF_ACCEPT_LOCAL, "accept_local", undo);
}

Result<std::uint8_t> address_generation(rtnl_link* link) {
  std::uint8_t mode = 0;
  if (rtnl_link_inet6_get_addr_gen_mode(link, &mode) == 0) return mode;
  return Error{.code = Code::unsupported, .sys_errno = 0, .what = "the interface has no IPv6"};
}

Result<> set_address_generation(NlSocket& netlink, rtnl_link* link, std::uint8_t mode) {
  return change(netlink, rtnl_link_get_ifindex(link), "setting how link-local addresses are made",
                [mode](rtnl_link* l) { rtnl_link_inet6_set_addr_gen_mode(l, mode); });
}

MacAddress mac_of(rtnl_link* link) {
  MacAddress mac;
  const nl_addr* address = rtnl_link_get_addr(link);
  if (address == nullptr || nl_addr_get_len(address) != mac.bytes.size()) return mac;
  const auto* bytes = static_cast<const std::uint8_t*>(nl_addr_get_binary_addr(address));
  std::copy_n(bytes, mac.bytes.size(), mac.bytes.begin());
  return mac;
}

}  // namespace nh
