// SPDX-License-Identifier: BSD-3-Clause
// TapDevice: owns the TAP's descriptor, and reads and writes its frames.
//
// With a virtio-net header (IFF_VNET_HDR) and TUNSETOFFLOAD the guest's kernel sends TCP segments of up to 64 KiB at any MTU,
// with partial checksums. read() completes the checksums, because libslirp verifies them; write() can write several segments
// as one frame.
#pragma once

#include <memory>

#include "netstack/bridge/frame_device.h"
#include "src/base/unique_fd.h"

namespace nh {

class TapDevice final : public FrameDevice {
 public:
  /// `tap` is non-blocking. `vnet_header`: a virtio-net header of 10 bytes is in front of each frame.
  TapDevice(UniqueFd tap, bool vnet_header);

  Result<MutableBytes> read() override;
  Taken write(Bytes frame, const Offload& offload) override;
  bool offloads() const override { return vnet_header_; }
  bool datagram_runs() const override { return datagram_runs_; }
  int poll_fd() const override { return tap_.get(); }

 private:
  UniqueFd tap_;
  bool vnet_header_;
  bool datagram_runs_;  ///< until the kernel refuses one; supported since Linux 6.2
  std::unique_ptr<std::uint8_t[]> buffer_;
};

}  // namespace nh
