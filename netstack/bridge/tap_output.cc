// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/bridge/tap_output.h"

#include "src/base/limits.h"

namespace nh {
namespace {

constexpr std::uint8_t icmpv6_router_advertisement = 134;  // RFC 4861 4.2

bool is_router_advertisement(Bytes frame) {
  return frame.size() > ethernet_header + ipv6_header && frame[12] == 0x86 && frame[13] == 0xdd &&
         frame[ethernet_header + 6] == protocol::icmpv6 &&
         frame[ethernet_header + ipv6_header] == icmpv6_router_advertisement;
}

}  // namespace

void TapOutput::send_to_guest(Bytes frame) {
  if (ra_guard_ && is_router_advertisement(frame)) {
    ++counters_.advertisements_dropped;
    return;
  }
  if (redirect_ && redirect_->is_from_listener(frame)) {
    scratch_.assign(frame.begin(), frame.end());
    redirect_->from_listener(scratch_);
    frame = scratch_;
  }
  merge_or_write(frame);
}

bool TapOutput::send_run_to_guest(Bytes frame, std::uint16_t segment) {
  if (!device_.datagram_runs()) return false;
  const std::uint64_t lost = counters_.lost;
  write(frame, {.segment_size = segment, .partial_checksum = true, .datagrams = true});
  if (device_.datagram_runs()) return true;
  counters_.lost = lost;  // not lost: the caller sends the datagrams one by one
  return false;
}

void TapOutput::merge_or_write(Bytes frame) {
  if (!device_.offloads()) return write(frame, {});
  SegmentMerger::Offer offer = merger_.offer(frame);
  if (offer == SegmentMerger::Offer::flush_first) {
    flush();
    offer = merger_.offer(frame);
  }
  if (offer == SegmentMerger::Offer::not_tcp) write(frame, {});
  if (offer == SegmentMerger::Offer::kept) ++counters_.merged;
}

void TapOutput::flush() {
  const SegmentMerger::Pending pending = merger_.take();
  if (pending.frame.empty()) return;
  --counters_.merged;  // the first one is the frame itself
  write(pending.frame, pending.offload);
}

void TapOutput::write(Bytes frame, const Offload& offload) {
  if (backlog_.empty() && account(device_.write(frame, offload), frame.size())) return;
  if (backlog_.size() >= limits::tap_backlog) {
    ++counters_.backlog_full;
    return;
  }
  backlog_.push_back({.frame = {frame.begin(), frame.end()}, .offload = offload});
}

bool TapOutput::account(Taken taken, std::size_t size) {
  if (taken == Taken::later) return false;
  if (taken == Taken::lost) {
    ++counters_.lost;
  } else {
    ++counters_.frames;
    counters_.bytes += size;
  }
  return true;
}

void TapOutput::drain() {
  while (!backlog_.empty() &&
         account(device_.write(backlog_.front().frame, backlog_.front().offload), backlog_.front().frame.size()))
    backlog_.pop_front();
}

}  // namespace nh
