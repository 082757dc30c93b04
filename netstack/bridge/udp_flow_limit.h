// SPDX-License-Identifier: BSD-3-Clause
// UdpFlowLimit: bounds the UDP sockets in libslirp. It remembers which guest endpoints have one, to tell the first datagram of a
// new flow from a further one of a known flow. libslirp keeps a socket for 240 s after its last datagram (SO_EXPIRE).
#pragma once

#include <cstddef>
#include <unordered_map>

#include "src/base/address.h"
#include "src/base/clock.h"

namespace nh {

class UdpFlowLimit {
 public:
  explicit UdpFlowLimit(std::size_t limit) : limit_(limit) {}
  /// `sockets`: the UDP sockets that libslirp has now. False: the datagram would open one beyond the limit.
  bool admit(const Endpoint& guest, std::size_t sockets, Instant now);

 private:
  std::size_t limit_;
  std::unordered_map<Endpoint, Instant> last_seen_;
};

}  // namespace nh
