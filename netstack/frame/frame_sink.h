// SPDX-License-Identifier: BSD-3-Clause
// FrameSink: where complete Ethernet frames for the guest go. TapBridge is one; tests have others.
#pragma once

#include "src/base/address.h"

namespace nh {

class FrameSink {
 public:
  virtual ~FrameSink() = default;
  /// Takes a complete frame (Ethernet header, no FCS, all checksums valid). The bytes are copied before it returns.
  /// Never blocks; a frame that cannot be taken is counted as dropped by the sink.
  virtual void send_to_guest(Bytes frame) = 0;
};

}  // namespace nh
