// SPDX-License-Identifier: BSD-3-Clause
// Permanent neighbours (ARP and NDP entries; rtnetlink(7), RTM_NEWNEIGH).
#pragma once

#include "src/netlink/nl_socket.h"
#include "src/netlink/undo_log.h"

namespace nh {

/// Makes `address` a permanent neighbour with this MAC. An entry that the kernel learnt gives way; a permanent one of
/// another MAC is replaced, and comes back when it is undone.
Result<> add_neighbour(NlSocket& netlink, int ifindex, const Address& address, const MacAddress& mac, UndoLog& undo);

/// Notes the interface's permanent neighbours, so that the undoing puts back those that are missing then: the kernel
/// drops all of them when the MAC address changes.
Result<> keep_neighbours(NlSocket& netlink, int ifindex, UndoLog& undo);

}  // namespace nh
