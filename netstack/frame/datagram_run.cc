// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/frame/datagram_run.h"

#include <algorithm>
#include <utility>

namespace nh {

DatagramRun::DatagramRun(FrameSink& sink, unsigned mtu)
    : sink_(sink), mtu_(mtu), buffer_(std::make_unique_for_overwrite<std::uint8_t[]>(udp_run_headroom + udp_run_bytes)) {}

bool DatagramRun::joins(const Endpoint& from, const Endpoint& to, Bytes payload) const {
  const bool last_was_whole = size_ == segment_ * count_;  // a shorter datagram ends the run
  return count_ > 0 && count_ < udp_run_datagrams && last_was_whole && payload.size() <= segment_ &&
         size_ + payload.size() <= udp_run_bytes && from == from_ && to == to_;
}

void DatagramRun::add(const LinkPath& link, const Endpoint& from, const Endpoint& to, Bytes payload) {
  const std::size_t headers = (from.address.is_v4() ? ipv4_header : ipv6_header) + udp_header;
  if (!joins(from, to, payload) || payload.empty()) {
    flush();
    // A segment is not empty and not larger than the MTU.
    if (payload.empty() || headers + payload.size() > mtu_ || !sink_.takes_runs())
      return send_udp(sink_, link, from, to, payload, mtu_);
    link_ = link;
    from_ = from;
    to_ = to;
    segment_ = payload.size();
  }
  std::copy(payload.begin(), payload.end(), buffer_.get() + udp_run_headroom + size_);
  size_ += payload.size();
  ++count_;
}

void DatagramRun::flush() {
  const std::size_t count = std::exchange(count_, 0);
  const std::size_t size = std::exchange(size_, 0);
  if (count == 0) return;
  const MutableBytes all(buffer_.get(), udp_run_headroom + size);
  if (count > 1 && send_udp_run(sink_, link_, from_, to_, all, static_cast<std::uint16_t>(segment_))) return;
  for (std::size_t at = 0; at < size; at += segment_)
    send_udp(sink_, link_, from_, to_, all.subspan(udp_run_headroom + at, std::min(segment_, size - at)), mtu_);
}

}  // namespace nh
