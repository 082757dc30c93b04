// SPDX-License-Identifier: BSD-3-Clause
// The error of a forward's bind(2) or listen(2), in words that name the cure.
#pragma once

#include <string>

#include "src/base/address.h"
#include "src/base/transport.h"

namespace nh {

/// in_use: the port is taken; privileged: the port is below net.ipv4.ip_unprivileged_port_start
/// (read from `sysctl`; 1024 where it cannot be read) and we may not bind it; missing: no such
/// address on this host. `field` is set.
Error bind_error(int err, Transport transport, const Endpoint& endpoint,
                 const std::string& sysctl = "/proc/sys/net/ipv4/ip_unprivileged_port_start");

}  // namespace nh
