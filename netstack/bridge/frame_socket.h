// SPDX-License-Identifier: BSD-3-Clause
// FrameSocket: a connected SOCK_SEQPACKET Unix socket as a FrameDevice, one Ethernet frame per packet, for a guest that is not
// a namespace of this kernel. User Mode Linux has this as its "vector" transport "bess".
//
// There is no header in front of a frame, so no offload: no frame is longer than the MTU, and all checksums are complete.
#pragma once

#include <memory>

#include "netstack/bridge/frame_device.h"
#include "src/base/unique_fd.h"

namespace nh {

class FrameSocket final : public FrameDevice {
 public:
  explicit FrameSocket(UniqueFd socket);

  /// Errors: gone: the peer has closed its end. An empty packet and one beyond limits::frame_size are skipped, with an empty
  /// result. Descriptors that the peer sends are closed.
  Result<MutableBytes> read() override;
  Taken write(Bytes frame, const Offload& offload) override;
  bool offloads() const override { return false; }
  int poll_fd() const override { return socket_.get(); }

 private:
  UniqueFd socket_;
  std::unique_ptr<std::uint8_t[]> buffer_;
};

}  // namespace nh
