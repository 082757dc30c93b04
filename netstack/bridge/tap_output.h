// SPDX-License-Identifier: BSD-3-Clause
// TapOutput: writes frames to the guest for libslirp, UDP forwards, DNS and ICMP errors.
//
// A frame is written at once, or kept as part of a merged frame until the end of the turn (segment_merger.h). While the TAP
// takes none, up to limits::tap_backlog frames are queued; further ones are dropped and counted. Never blocks.
#pragma once

#include <deque>
#include <vector>

#include "netstack/bridge/dns_redirect.h"
#include "netstack/bridge/frame_device.h"
#include "netstack/bridge/segment_merger.h"
#include "netstack/frame/frame_sink.h"

namespace nh {

class TapOutput final : public FrameSink {
 public:
  struct Counters {
    std::uint64_t frames = 0;  ///< written to the device; a merged frame counts once
    std::uint64_t bytes = 0;
    std::uint64_t merged = 0;                  ///< segments appended to another one's frame
    std::uint64_t lost = 0;                    ///< refused by the device
    std::uint64_t backlog_full = 0;            ///< dropped: device and backlog were full
    std::uint64_t advertisements_dropped = 0;  ///< router advertisements, see drop_advertisements()
  };

  /// `device` must outlive this.
  explicit TapOutput(FrameDevice& device) : device_(device) {}

  /// Drops router advertisements from now on: for a statically configured guest whose accept_ra could not be turned off.
  void drop_advertisements() { ra_guard_ = true; }

  void set_dns_redirect(const DnsRedirect& redirect) { redirect_ = redirect; }
  void send_to_guest(Bytes frame) override;
  bool takes_runs() const override { return device_.datagram_runs(); }
  bool send_run_to_guest(Bytes frame, std::uint16_t segment) override;
  /// Writes the pending merged frame. To be called at the end of each turn.
  void flush();
  /// The device is writable again.
  void drain();
  bool waiting() const { return !backlog_.empty(); }
  const Counters& counters() const { return counters_; }

 private:
  struct Queued {
    std::vector<std::uint8_t> frame;
    Offload offload;
  };
  void merge_or_write(Bytes frame);
  void write(Bytes frame, const Offload& offload);
  bool account(Taken taken, std::size_t size);

  FrameDevice& device_;
  bool ra_guard_ = false;
  std::optional<DnsRedirect> redirect_;
  SegmentMerger merger_;
  std::vector<std::uint8_t> scratch_;
  std::deque<Queued> backlog_;
  Counters counters_;
};

}  // namespace nh
