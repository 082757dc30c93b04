// SPDX-License-Identifier: BSD-3-Clause
// Links (rtnetlink(7), RTM_NEWLINK): reading one, and changing one with an undo.
#pragma once

#include <string>

#include "src/netlink/nl_socket.h"
#include "src/netlink/undo_log.h"

namespace nh {

/// missing: there is no interface of that name.
Result<RtLink> find_link(NlSocket& netlink, const std::string& name);

/// Sets what is not so already. `link` is the state before.
Result<> set_link_up(NlSocket& netlink, rtnl_link* link, UndoLog& undo);
Result<> set_link_mtu(NlSocket& netlink, rtnl_link* link, unsigned mtu, UndoLog& undo);
Result<> set_link_mac(NlSocket& netlink, rtnl_link* link, const MacAddress& mac, UndoLog& undo);
Result<> set_link_queue_length(NlSocket& netlink, rtnl_link* link, unsigned packets, UndoLog& undo);

/// Whether packets from and to 127.0.0.0/8 may go by this interface (route_localnet of Documentation/networking/ip-sysctl.rst).
Result<> set_route_localnet(NlSocket& netlink, rtnl_link* link, UndoLog& undo);
/// Whether packets with a source address of the machine's own may come by this interface (accept_local there).
Result<> set_accept_local(NlSocket& netlink, rtnl_link* link, UndoLog& undo);

/// How the kernel makes link-local addresses on this interface (IFLA_INET6_ADDR_GEN_MODE); unsupported: it has no IPv6.
Result<std::uint8_t> address_generation(rtnl_link* link);
Result<> set_address_generation(NlSocket& netlink, rtnl_link* link, std::uint8_t mode);

/// The MAC address a link has; all zero if it has none.
MacAddress mac_of(rtnl_link* link);

}  // namespace nh
