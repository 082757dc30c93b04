// SPDX-License-Identifier: BSD-3-Clause
// What bench-traffic asks of a helper besides the loads of one flow: many connections at once, datagrams at a rate, and by which
// address it is seen. Each prints lines of JSON.
#pragma once

#include "src/base/address.h"
#include "src/base/result.h"

namespace nh::traffic {

/// As many connections as told, one byte there and back on each, then held until standard input ends. The line is printed once all
/// are up: {"held": N, "seconds": S}. Raises the soft limit of open files to the hard one.
Result<Ok> hold(const Endpoint& server, std::size_t connections);

/// As many connects at once as told, to an address that does not answer; waits for none of them. The first line is printed once all
/// are under way: {"pending": N, "seconds": S}; the second when standard input ends: {"ended": N}, those that did not wait till then.
Result<Ok> pend(const Endpoint& server, std::size_t connections);

struct Flood {
  std::uint64_t datagrams = 100'000;
  std::uint64_t rate = 20'000;  ///< a second
  std::size_t size = 1400;
  bool echo = false;  ///< the server sends each back; else it counts them
};
/// {"sent": N, "arrived": N, "seconds": S, "rate": R}. arrived: counted by the server, with `echo` by the client.
Result<Ok> flood(const Endpoint& server, const Flood& flood);

/// {"peer": "192.0.2.1"}: the address that the server sees this client with.
Result<Ok> ask_peer(const Endpoint& server);

}  // namespace nh::traffic
