// SPDX-License-Identifier: BSD-3-Clause
// SegmentMerger: merges consecutive TCP segments of one flow into one frame for the TAP (as GRO).
//
// libslirp emits segments of one MSS. A system call and a pass through the guest's receive path for each is most of the cost
// of a download at MTU 1500. The segments that libslirp emits in one turn differ in sequence number, IP id and PSH only; they
// are written as one frame with a virtio-net segment size, as a network card with receive offload delivers them. Nothing is
// kept beyond the turn: the bridge flushes at its end.
#pragma once

#include <memory>

#include "netstack/bridge/frame_device.h"

namespace nh {

class SegmentMerger {
 public:
  SegmentMerger();

  enum class Offer : std::uint8_t {
    kept,         ///< it is the pending frame now, or part of it
    flush_first,  ///< cannot be merged with the pending frame: send take(), then offer it again
    not_tcp       ///< cannot be merged at all; nothing is pending: send it as it is
  };
  Offer offer(Bytes frame);
  /// The pending frame and how it is to be sent; empty when there is none. Valid until the next offer.
  struct Pending {
    Bytes frame;
    Offload offload;
  };
  Pending take();

 private:
  bool append(Bytes frame);

  std::unique_ptr<std::uint8_t[]> buffer_;
  std::size_t size_ = 0;          ///< of the pending frame; 0: none
  std::size_t header_size_ = 0;   ///< Ethernet, IP and TCP headers of it
  std::size_t segment_size_ = 0;  ///< payload of its first segment
  unsigned segments_ = 0;
  std::uint32_t next_sequence_ = 0;
  bool complete_ = false;  ///< the last segment was short or had PSH: nothing may be appended
};

}  // namespace nh
