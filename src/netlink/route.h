// SPDX-License-Identifier: BSD-3-Clause
// Default routes (rtnetlink(7), RTM_NEWROUTE).
#pragma once

#include "src/netlink/nl_socket.h"
#include "src/netlink/undo_log.h"

namespace nh {

/// Adds a default route of the gateway's family through the interface. The same route there already is no error;
/// another IPv4 default route stays behind ours.
Result<> add_default_route(NlSocket& netlink, int ifindex, const Address& gateway, UndoLog& undo);

/// Waits, limits::local_route_wait at most, until packets to this address of the interface are delivered: the kernel
/// adds the route of an IPv6 address to its local table in a worker, a moment after the address is there. timeout: it
/// did not.
Result<> wait_until_local(NlSocket& netlink, const Address& address);

/// The interface by which packets to this address leave now.
Result<int> interface_towards(NlSocket& netlink, const Address& address);

}  // namespace nh
