// SPDX-License-Identifier: BSD-3-Clause
// FrameDevice: something that gives and takes Ethernet frames. The TAP is one (tap_port.h); capture, fault injection and
// test doubles are others and can wrap one another.
#pragma once

#include "src/base/address.h"

namespace nh {

/// How the kernel is to treat a frame that we hand over (linux/virtio_net.h).
struct Offload {
  /// Payload bytes of each segment when the frame is many TCP segments or UDP datagrams in one; 0: an ordinary frame.
  std::uint16_t segment_size = 0;
  /// The transport checksum field holds the pseudo-header's sum only; the kernel completes it where it must.
  bool partial_checksum = false;
  /// It is UDP datagrams (UDP_SEGMENT, udp(7)) that are in one frame, not TCP segments.
  bool datagrams = false;
};

enum class Taken : std::uint8_t {
  yes,
  later,  ///< the device is full; try again when it is writable
  lost    ///< the device refused this frame (link down, too long): it is gone
};

class FrameDevice {
 public:
  virtual ~FrameDevice() = default;
  /// The next frame from the guest, with complete checksums; may be many TCP segments in one (then longer than the MTU).
  /// Empty: there is none now. gone: the device does not exist any longer. The bytes are valid until the next call.
  virtual Result<MutableBytes> read() = 0;
  /// Hands one frame to the guest.
  virtual Taken write(Bytes frame, const Offload& offload) = 0;
  /// True if frames with Offload other than the default are understood.
  virtual bool offloads() const = 0;
  /// True if frames of many UDP datagrams are, too. It may turn false when the first one is written: older kernels refuse it.
  virtual bool datagram_runs() const { return false; }
  /// For poll(2): readable when read() has a frame, writable when write() takes one.
  virtual int poll_fd() const = 0;
};

}  // namespace nh
