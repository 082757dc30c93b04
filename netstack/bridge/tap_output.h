// SPDX-License-Identifier: BSD-3-Clause
// TapOutput: the way to the guest. Everything that makes frames (libslirp, UDP forwards, DNS) sends them here.
//
// A frame is written at once, or kept as part of a merged one until the end of the turn (segment_merger.h). A TAP that
// takes nothing costs frames, never time: limits::tap_backlog of them wait for it, newer ones are dropped and counted.
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
    std::uint64_t frames = 0;  ///< given to the device; merged segments count once
    std::uint64_t bytes = 0;
    std::uint64_t merged = 0;                  ///< segments that travelled in another's frame
    std::uint64_t lost = 0;                    ///< refused by the device
    std::uint64_t backlog_full = 0;            ///< dropped: the device was full and so was the backlog
    std::uint64_t advertisements_dropped = 0;  ///< router advertisements kept from a guest that is configured statically
  };

  /// `device` must outlive this.
  explicit TapOutput(FrameDevice& device) : device_(device) {}

  /// For a guest whose kernel could not be told to ignore router advertisements.
  void drop_advertisements() { ra_guard_ = true; }

  void set_dns_redirect(const DnsRedirect& redirect) { redirect_ = redirect; }
  void send_to_guest(Bytes frame) override;
  bool takes_runs() const override { return device_.datagram_runs(); }
  bool send_run_to_guest(Bytes frame, std::uint16_t segment) override;
  /// Writes what waits to be merged. At the end of each turn.
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
