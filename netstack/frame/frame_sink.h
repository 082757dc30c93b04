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
  /// True if send_run_to_guest() is understood.
  virtual bool takes_runs() const { return false; }
  /// A frame that stands for several UDP datagrams of one flow: `segment` payload bytes each, the last may have fewer.
  /// Its length fields are those of the whole, its UDP checksum is the pseudo-header's sum only. False: this cannot be
  /// carried after all (and takes_runs() is false from now on); nothing was sent.
  virtual bool send_run_to_guest(Bytes /*frame*/, std::uint16_t /*segment*/) { return false; }
};

}  // namespace nh
