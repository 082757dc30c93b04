// SPDX-License-Identifier: BSD-3-Clause
// IPv6 settings of an interface that netlink cannot set: /proc/sys/net/ipv6/conf/NAME (kernel
// Documentation/networking/ip-sysctl.rst). These files belong to the network namespace of who opens them, and may be
// written with CAP_NET_ADMIN over it.
#pragma once

#include <string>

#include "src/base/result.h"
#include "src/netlink/undo_log.h"

namespace nh {

/// Sets one to `value` if it is not that already. An error if it can be neither read as such nor written.
Result<> set_ipv6_setting(const std::string& interface, const std::string& setting, const std::string& value, UndoLog& undo);

}  // namespace nh
