// SPDX-License-Identifier: BSD-3-Clause
// FrameSocket: a guest that is no namespace of this kernel, behind a connected SOCK_SEQPACKET Unix socket: each packet is
// one Ethernet frame. User Mode Linux speaks so (its "vector" transport bess), and whatever else likes to.
//
// There is no header in front of a frame, so no offload: a segment is at most as long as the MTU, its checksums complete.
#pragma once

#include <memory>

#include "netstack/bridge/frame_device.h"
#include "src/base/unique_fd.h"

namespace nh {

class FrameSocket final : public FrameDevice {
 public:
  explicit FrameSocket(UniqueFd socket);

  /// gone: the peer has closed its end. Empty also for a packet that is no frame, empty itself or beyond
  /// limits::frame_size: it is passed over. Descriptors are never taken.
  Result<MutableBytes> read() override;
  Taken write(Bytes frame, const Offload& offload) override;
  bool offloads() const override { return false; }
  int poll_fd() const override { return socket_.get(); }

 private:
  UniqueFd socket_;
  std::unique_ptr<std::uint8_t[]> buffer_;
};

}  // namespace nh
