// SPDX-License-Identifier: BSD-3-Clause
// SequenceGate: works around a memory fault of libslirp before 4.8.0 at one TCP sequence number.
//
// The fault (libslirp tcp_input.c, tcp_reass(); fixed in 4.8.0 by bdba265). The loop that hands
// over reassembled segments compares the end of its list with the wrong pointer, and so reads the
// connection's own control block as one more segment. The bytes in the place of that segment's sequence number are four bytes
// of the guest's address in a template: 0 for IPv4, bytes 4 to 7 of an IPv6 address. If the next expected number equals them,
// libslirp uses a wild pointer as a buffer. A guest that chooses its initial sequence number gets there in three segments; an
// honest connection with a chance of 1 in 2^32 a segment.
//
// The work-around. The next expected number becomes that value only if a segment that libslirp accepts ends there: by its own
// length, or because libslirp cuts it off at the end of the window. So a segment that ends there loses its last byte, which the
// guest retransmits with the following ones; and one that reaches across is cut off at the window that libslirp has announced,
// so that libslirp has nothing to cut. A connection whose very last byte is there does not end in order (1 in 2^32). All other
// segments pass after one comparison.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "src/base/address.h"

namespace nh {

class SequenceGate {
 public:
  /// For a frame to libslirp that FrameGuard has passed: returns the frame, a shorter copy that is valid until the next call,
  /// or nothing, to be given to libslirp instead.
  Bytes admit(Bytes frame);
  /// For a frame from libslirp to the guest: learns the window that it announces.
  void answered(Bytes frame);

  std::uint64_t cut() const { return cut_; }

 private:
  /// The end of the announced window of one flow, kept only while it is near the value.
  struct Edge {
    Endpoint guest, far;
    std::uint32_t edge = 0;
  };
  Edge& place(const Endpoint& guest, const Endpoint& far);

  // Few flows are near the value at once. Of two that share a place one is delayed until its next acknowledgement.
  static constexpr std::size_t places = 1024;
  static constexpr std::uint32_t window_max = 65535;  // libslirp has no window scaling

  std::array<Edge, places> edges_{};
  std::vector<std::uint8_t> shorter_;
  std::uint64_t cut_ = 0;
};

}  // namespace nh
