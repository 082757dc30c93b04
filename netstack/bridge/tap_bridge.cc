// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/bridge/tap_bridge.h"

#include <poll.h>

#include <algorithm>

#include "netstack/frame/builder.h"
#include "src/base/limits.h"
#include "src/base/log.h"

namespace nh {

FlowLimits FlowLimits::for_descriptors(std::size_t nofile) {
  const std::size_t left = nofile > 2 * limits::reserved_fds ? nofile - limits::reserved_fds : nofile / 2;
  return {.tcp = std::min(limits::slirp_tcp_flows, left * 3 / 4),
          .udp = std::min(limits::slirp_udp_flows, left / 6),
          .icmp = std::min(limits::slirp_icmp_flows, left / 12)};
}

TapBridge::TapBridge(Loop& loop, const BridgeParts& parts, const AddressPlan& plan, const ReachRules& rules,
                     const FlowLimits& limits, Hooks hooks)
    : loop_(loop),
      parts_(parts),
      plan_(plan),
      reachability_(plan, rules),
      limits_(limits),
      hooks_(std::move(hooks)),
      udp_limit_(limits.udp) {}

TapBridge::~TapBridge() = default;

void TapBridge::start() {
  tap_watch_ = loop_.watch(parts_.device->poll_fd(), POLLIN, [this](IoEvents) { turn(); });
  slirp_watch_ = loop_.watch(parts_.slirp->poll_fd(), POLLIN, [this](IoEvents) { turn(); });
  slirp_timer_ = loop_.timer([this] { turn(); });
  turn();
}

void TapBridge::turn() {
  ++counters_.turns;
  parts_.output->drain();
  const bool alive = take_frames();
  parts_.guard->expire();
  slirp_timer_.arm(parts_.slirp->serve());
  parts_.output->flush();
  if (alive) watch_output();
}

void TapBridge::watch_output() {
  if (parts_.output->waiting() == output_watched_) return;
  output_watched_ = !output_watched_;
  tap_watch_.set_events(output_watched_ ? POLLIN | POLLOUT : POLLIN);
}

bool TapBridge::take_frames() {
  if (!tap_watch_) return false;
  for (std::size_t i = 0; i < limits::tap_batch; ++i) {
    auto next = parts_.device->read();
    if (!next) {
      tap_watch_.reset();
      hooks_.on_gone(std::move(next).error());
      return false;
    }
    if (next->empty()) break;
    ++counters_.frames;
    counters_.bytes += next->size();
    frame(*next);
  }
  return true;
}

void TapBridge::frame(MutableBytes frame) {
  GuardVerdict verdict = parts_.guard->inspect(frame);
  if (verdict.action == GuardAction::pass) packet(verdict.packet);
  if (verdict.action == GuardAction::unknown_source) park(frame);
}

void TapBridge::park(Bytes frame) {
  const Instant now = loop_.clock().now();
  const bool too_soon = !asked_ && last_question_ != Instant{} && now - last_question_ < limits::unknown_source_pause;
  if (!hooks_.ask_addresses || too_soon) return parts_.guard->count(DropReason::ip_source);
  if (parked_.size() >= limits::unknown_source_backlog) return parts_.guard->count(DropReason::unknown_source_limit);
  parked_.emplace_back(frame.begin(), frame.end());
  if (asked_) return;
  asked_ = true;
  last_question_ = now;
  hooks_.ask_addresses();
}

void TapBridge::set_guest_state(const std::vector<Address>& addresses, const MacAddress& mac) {
  parts_.guard->set_sources(addresses);
  parts_.neighbours->set_tap(mac);
  parts_.udp_forward->set_guest_addresses(addresses);
  asked_ = false;
  for (auto& kept : std::exchange(parked_, {})) {
    GuardVerdict verdict = parts_.guard->inspect(kept);
    if (verdict.action == GuardAction::pass) packet(verdict.packet);
    if (verdict.action == GuardAction::unknown_source) parts_.guard->count(DropReason::ip_source);
  }
  parts_.output->flush();
}

void TapBridge::agent_lost() {
  hooks_.ask_addresses = nullptr;
  for (std::size_t i = 0; i < parked_.size(); ++i) parts_.guard->count(DropReason::ip_source);
  parked_.clear();
}

void TapBridge::packet(Packet& packet) {
  if (!packet.is_ip()) return parts_.slirp->input(packet.frame);
  parts_.neighbours->learn(packet.source, packet.mac_source);
  if (packet.icmp_error) {
    if (!parts_.udp_forward->take_icmp_error(packet)) parts_.guard->count(DropReason::icmp_error_unmatched);
    return;
  }
  if (packet.is_udp() && parts_.udp_forward->take(packet)) return;
  switch (reachability_.judge(packet)) {
    case Reach::outside:
    case Reach::gateway_service:
    case Reach::host_loopback: return to_slirp(packet);
    case Reach::dns: return dns(packet);
    case Reach::refuse_loopback: return refuse(packet, counters_.refused_loopback);
    case Reach::refuse_link_local: return refuse(packet, counters_.refused_link_local);
    case Reach::refuse_virtual: return refuse(packet, counters_.refused_virtual);
    case Reach::ignore: ++counters_.ignored; return;
  }
}

void TapBridge::to_slirp(const Packet& packet) {
  if (packet.is_tcp()) {
    const bool opens = (packet.tcp_flags & (tcp_flag::syn | tcp_flag::ack)) == tcp_flag::syn;
    if (opens && parts_.slirp->tcp_flows() >= limits_.tcp) {
      parts_.guard->count(DropReason::tcp_flow_limit);
      send_tcp_reset(*parts_.output, packet);
      return;
    }
  } else if (packet.is_udp()) {
    if (!udp_limit_.admit(packet.from(), parts_.slirp->udp_flows(), loop_.clock().now()))
      return parts_.guard->count(DropReason::udp_flow_limit);
  } else if (parts_.slirp->icmp_flows() >= limits_.icmp) {
    return parts_.guard->count(DropReason::icmp_flow_limit);
  }
  parts_.slirp->input(packet.frame);
}

void TapBridge::dns(Packet& packet) {
  if (packet.is_udp() && parts_.dns != nullptr) return parts_.dns->take_udp(packet);
  const auto listener = parts_.dns == nullptr ? std::nullopt : parts_.dns->tcp_listener(packet.destination.family());
  if (!packet.is_tcp() || !listener) return refuse(packet, counters_.refused_virtual);
  const DnsRedirect redirect(plan_, parts_.dns->tcp_listener(Family::v4), parts_.dns->tcp_listener(Family::v6));
  redirect.to_listener(packet);
  to_slirp(packet);
}

void TapBridge::refuse(const Packet& packet, std::uint64_t& counter) {
  ++counter;
  const Instant now = loop_.clock().now();
  if (now - error_window_ >= std::chrono::seconds(1)) {
    error_window_ = now;
    errors_in_window_ = 0;
  }
  if (errors_in_window_ >= limits::icmp_errors_per_second) {
    ++counters_.errors_suppressed;
    return;
  }
  const AddressPlan::Net* net = plan_.net(packet.destination.family());
  if (net == nullptr || !send_unreachable(*parts_.output, packet, net->gateway, Unreachable::net)) return;
  ++errors_in_window_;
  ++counters_.errors_sent;
}

}  // namespace nh
