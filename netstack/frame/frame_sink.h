// SPDX-License-Identifier: BSD-3-Clause
// FrameSink: the interface that takes complete Ethernet frames for the guest. TapOutput implements it.
#pragma once

#include "src/base/address.h"

namespace nh {

class FrameSink {
 public:
  virtual ~FrameSink() = default;
  /// Takes a complete frame (Ethernet header, no FCS, all checksums valid) and copies it. Never blocks; the sink counts the
  /// frames that it drops.
  virtual void send_to_guest(Bytes frame) = 0;
  /// True if send_run_to_guest() is supported.
  virtual bool takes_runs() const { return false; }
  /// Takes a frame that stands for several UDP datagrams of one flow, `segment` payload bytes each, the last one possibly
  /// shorter. Its length fields are those of the whole, its UDP checksum is the pseudo-header's sum only. False: nothing was sent,
  /// the device does not support it, and takes_runs() is false from now on.
  virtual bool send_run_to_guest(Bytes /*frame*/, std::uint16_t /*segment*/) { return false; }
};

}  // namespace nh
