// SPDX-License-Identifier: BSD-3-Clause
// Default routes (rtnetlink(7), RTM_NEWROUTE).
#pragma once

#include "src/netlink/nl_socket.h"
#include "src/netlink/undo_log.h"

namespace nh {

/// Adds a default route of the gateway's family through the interface. The same route there already is no error; another
/// IPv4 default route stays behind ours.
Result<> add_default_route(NlSocket& netlink, int ifindex, const Address& gateway, UndoLog& undo);

}  // namespace nh
