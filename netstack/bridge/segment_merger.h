// SPDX-License-Identifier: BSD-3-Clause
// SegmentMerger: turns neighbouring TCP segments of one flow into one frame for the TAP.
//
// libslirp emits segments of one MSS each; handing each over by a system call, and through the guest's whole receive
// path, is most of the cost of a download at MTU 1500. Segments that libslirp emits one after the other in one turn
// differ in sequence number, IP id and PSH only; they go to the kernel as one frame with segment_size set, exactly as
// a network card with receive offload would. Nothing is kept beyond the turn: the bridge flushes at its end.
#pragma once

#include <memory>

#include "netstack/bridge/frame_device.h"

namespace nh {

class SegmentMerger {
 public:
  SegmentMerger();

  enum class Offer : std::uint8_t {
    kept,         ///< it is the pending frame now, or part of it
    flush_first,  ///< it does not fit to what is pending: take() that, then offer again
    not_tcp       ///< nothing to merge: send it as it is, after take()
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
  bool complete_ = false;  ///< a short or pushed segment came: nothing more may follow
};

}  // namespace nh
