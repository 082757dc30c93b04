// SPDX-License-Identifier: BSD-3-Clause
// SequenceGate: keeps libslirp before 4.8.0 from a sequence number at which its TCP reassembly
// leaves its list.
//
// The fault (libslirp tcp_input.c, tcp_reass(); fixed in 4.8.0 by bdba265). The loop that hands
// over reassembled segments compares the end of its list with the wrong pointer, and so reads the
// connection's own control block as one more segment. What it takes for that segment's sequence
// number are four bytes of the guest's address in a template: 0 for IPv4, bytes 4 to 7 of an IPv6
// address. When the next expected number is just that, it goes on with a wild pointer as a buffer.
// A guest that chooses its initial sequence number does it in three segments; an honest stream of 4
// GiB has a chance of 1 in 2^32 a segment.
//
// The cure. The next expected number becomes that value only if a segment that libslirp takes in
// ends there: by its own length, or because libslirp cuts it off at the end of the window. So a
// segment that ends there loses its last byte, which the guest sends again with what follows; and
// one that reaches across is cut off at the window that libslirp has announced to the guest, so
// that libslirp itself has nothing to cut. A stream of which the very last byte lies there is not
// delivered to its end (1 connection in 2^32). All other segments pass after one comparison.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "src/base/address.h"

namespace nh {

class SequenceGate {
 public:
  /// A frame that is about to go into libslirp, well-formed (FrameGuard has passed it). What to
  /// give instead: the frame itself, a shorter copy that is valid until the next call, or nothing.
  Bytes admit(Bytes frame);
  /// A frame that libslirp has made for the guest: tells the window.
  void answered(Bytes frame);

  std::uint64_t cut() const { return cut_; }

 private:
  /// The end of the announced window of one flow, kept only while it is near the value.
  struct Edge {
    Endpoint guest, far;
    std::uint32_t edge = 0;
  };
  Edge& place(const Endpoint& guest, const Endpoint& far);

  // Few flows are near the value at once; of two that share a place one waits for its next
  // acknowledgement.
  static constexpr std::size_t places = 1024;
  static constexpr std::uint32_t window_max = 65535;  // libslirp has no window scaling

  std::array<Edge, places> edges_{};
  std::vector<std::uint8_t> shorter_;
  std::uint64_t cut_ = 0;
};

}  // namespace nh
