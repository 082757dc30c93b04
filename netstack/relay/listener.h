// SPDX-License-Identifier: BSD-3-Clause
// The host sockets that rules listen on.
#pragma once

#include <string>

#include "src/base/address.h"
#include "src/base/transport.h"
#include "src/base/unique_fd.h"

namespace nh {

struct Listener {
  UniqueFd fd;     ///< non-blocking, close-on-exec
  Endpoint bound;  ///< with the port that the kernel has chosen
};

/// Dual-stack for [::]: IPv4 clients come by their v4-mapped addresses. v6_only: where the IPv4 half of the port is a listener
/// of its own.
enum class Wildcard : std::uint8_t { dual, v6_only };

/// Bound, and listening if it is TCP. With an `interface` only packets that come by it are taken (SO_BINDTODEVICE, without a
/// privilege since Linux 5.7), at [::] those of both families, of IPv4 alone on a host without IPv6. Errors: those of bind_error;
/// missing with the field host_interface: there is none of the name.
Result<Listener> open_listener(Transport transport, const Endpoint& endpoint, const std::string& interface = {},
                               Wildcard wildcard = Wildcard::dual);

/// Where a socket is bound; a Unix socket is at 0.0.0.0:0.
Endpoint bound_endpoint(int fd);

}  // namespace nh
