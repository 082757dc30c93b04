// SPDX-License-Identifier: BSD-3-Clause
// UdpFlowLimit: which guest endpoints have a UDP socket in libslirp, so that the first datagram of one too many can be
// told from the next datagram of a known one. libslirp keeps a socket for 240 s after its last datagram (SO_EXPIRE).
#pragma once

#include <cstddef>
#include <unordered_map>

#include "src/base/address.h"
#include "src/base/clock.h"

namespace nh {

class UdpFlowLimit {
 public:
  explicit UdpFlowLimit(std::size_t limit) : limit_(limit) {}
  /// `sockets`: how many UDP sockets libslirp has now. False: the datagram would open one too many.
  bool admit(const Endpoint& guest, std::size_t sockets, Instant now);

 private:
  std::size_t limit_;
  std::unordered_map<Endpoint, Instant> last_seen_;
};

}  // namespace nh
