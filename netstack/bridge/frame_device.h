// SPDX-License-Identifier: BSD-3-Clause
// FrameDevice: the interface of what Ethernet frames are read from and written to: the TAP (tap_device.h), a socket
// (frame_socket.h), a test double.
#pragma once

#include "src/base/address.h"

namespace nh {

/// How the kernel is to treat a frame that we write (linux/virtio_net.h).
struct Offload {
  /// Payload bytes of each segment of a frame that stands for several TCP segments or UDP datagrams; 0: an ordinary frame.
  std::uint16_t segment_size = 0;
  /// The transport checksum field holds the pseudo-header's sum only; the kernel completes it.
  bool partial_checksum = false;
  /// The segments are UDP datagrams (UDP_SEGMENT, udp(7)), not TCP segments.
  bool datagrams = false;
};

enum class Taken : std::uint8_t {
  yes,
  later,  ///< the device is full; try again when it is writable
  lost    ///< the device refused this frame (link down, too long): it is dropped
};

class FrameDevice {
 public:
  virtual ~FrameDevice() = default;
  /// The next frame from the guest, with complete checksums. It may stand for several TCP segments and be longer than the MTU.
  /// Empty: there is none now. Errors: gone: the device does not exist any more. The bytes are valid until the next call.
  virtual Result<MutableBytes> read() = 0;
  /// Writes one frame to the guest.
  virtual Taken write(Bytes frame, const Offload& offload) = 0;
  /// True if frames with an Offload other than the default can be written.
  virtual bool offloads() const = 0;
  /// True if frames of several UDP datagrams can be, too. May become false after the first one: older kernels refuse it.
  virtual bool datagram_runs() const { return false; }
  /// The fd for poll(2): readable when read() has a frame, writable when write() takes one.
  virtual int poll_fd() const = 0;
};

}  // namespace nh
