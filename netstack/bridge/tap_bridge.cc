// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/bridge/tap_bridge.h"

#include <sys/epoll.h>

#include <algorithm>

#include "netstack/frame/builder.h"
#include "src/base/limits.h"
#include "src/base/log.h"

namespace nh {
namespace {

// A SYN without ACK.
bool opens_flow(const Packet& packet) {
  return (packet.tcp_flags & (tcp_flag::syn | tcp_flag::ack)) == tcp_flag::syn;
}

}  // namespace

FlowLimits FlowLimits::for_descriptors(std::size_t nofile) {
  const std::size_t left = nofile > 2 * limits::reserved_fds ? nofile - limits::reserved_fds : nofile / 2;
  return {.tcp = std::min(limits::slirp_tcp_flows, left * 3 / 8),
          .udp = std::min(limits::slirp_udp_flows, left / 12),
          .icmp = std::min(limits::slirp_icmp_flows, left / 24)};
}

TapBridge::TapBridge(Loop& loop, EpollSet& epoll, const BridgeParts& parts, const AddressPlan& plan, const ReachRules& rules,
                     const FlowLimits& limits, Hooks hooks)
    : loop_(loop),
      epoll_(epoll),
      parts_(parts),
      plan_(plan),
      reachability_(plan, rules),
      limits_(limits),
      hooks_(std::move(hooks)),
      udp_limit_(limits.udp) {}

TapBridge::~TapBridge() {
  stop_reading();
  epoll_.at_end_of_batch(nullptr);
}

Result<> TapBridge::start() {
  NH_TRY(epoll_.add(parts_.device->poll_fd(), EPOLLIN, *this));
  reading_ = true;
  epoll_.at_end_of_batch([this] { end_of_batch(); });
  slirp_timer_ = loop_.timer([this] { serve(); });
  serve();
  return Ok{};
}

void TapBridge::on_ready(int, std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) parts_.output->drain();
  take_frames();
}

void TapBridge::end_of_batch() {
  tap_was_ready_ = std::exchange(tap_ready_, false);
  parts_.udp_forward->flush();
  if (fed_ || parts_.slirp->wants_service()) return serve();
  watch_output();  // forwards and DNS may have filled the TAP's queue
}

void TapBridge::serve() {
  ++counters_.turns;
  fed_ = false;
  parts_.guard->expire();
  slirp_timer_.arm(parts_.slirp->serve());
  parts_.output->flush();
  watch_output();
}

void TapBridge::watch_output() {
  if (parts_.output->waiting() == output_watched_ || !reading_) return;
  output_watched_ = !output_watched_;
  epoll_.modify(parts_.device->poll_fd(), output_watched_ ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void TapBridge::stop_reading() {
  if (std::exchange(reading_, false)) epoll_.remove(parts_.device->poll_fd());
}

void TapBridge::take_frames() {
  // A guest that waits for each answer sends one frame at a time, and the TAP is ready in every other batch only. One frame is
  // read then, which saves the read that would find nothing; if there are more, the next batch follows at once.
  tap_ready_ = true;
  const std::size_t most = tap_was_ready_ ? limits::tap_batch : 1;
  for (std::size_t i = 0; i < most; ++i) {
    auto next = parts_.device->read();
    if (!next) {
      stop_reading();
      return hooks_.on_gone(std::move(next).error());
    }
    if (next->empty()) break;
    ++counters_.frames;
    counters_.bytes += next->size();
    frame(*next);
  }
}

void TapBridge::frame(MutableBytes frame) {
  GuardVerdict verdict = parts_.guard->inspect(frame);
  if (verdict.action == GuardAction::pass) packet(verdict.packet);
  if (verdict.action == GuardAction::unknown_source) keep_until_known(frame);
}

void TapBridge::keep_until_known(Bytes frame) {
  const Instant now = loop_.clock().now();
  const bool too_soon = !addresses_asked_ && last_asked_ != Instant{} && now - last_asked_ < limits::unknown_source_pause;
  if (!hooks_.ask_addresses || too_soon) return parts_.guard->count(DropReason::ip_source);
  if (unknown_source_frames_.size() >= limits::unknown_source_backlog)
    return parts_.guard->count(DropReason::unknown_source_limit);
  unknown_source_frames_.emplace_back(frame.begin(), frame.end());
  if (addresses_asked_) return;
  addresses_asked_ = true;
  last_asked_ = now;
  hooks_.ask_addresses();
}

void TapBridge::set_guest_state(const std::vector<Address>& addresses, const MacAddress& mac) {
  tap_addresses_ = addresses;
  set_guard_sources();
  parts_.neighbours->set_tap(mac);
  parts_.udp_forward->set_guest_addresses(addresses);
  addresses_asked_ = false;
  for (auto& kept : std::exchange(unknown_source_frames_, {})) {
    GuardVerdict verdict = parts_.guard->inspect(kept);
    if (verdict.action == GuardAction::pass) packet(verdict.packet);
    if (verdict.action == GuardAction::unknown_source) parts_.guard->count(DropReason::ip_source);
  }
  parts_.udp_forward->flush();
  if (fed_) serve();
}

void TapBridge::set_forward_destinations(std::vector<Address> addresses) {
  forward_destinations_ = std::move(addresses);
  if (!tap_addresses_.empty()) set_guard_sources();
}

void TapBridge::set_guard_sources() {
  std::vector<Address> sources = tap_addresses_;
  sources.insert(sources.end(), forward_destinations_.begin(), forward_destinations_.end());
  parts_.guard->set_sources(sources);
}

bool TapBridge::is_forward_destination_only(const Address& source) const {
  const auto has = [&source](const std::vector<Address>& all) {
    return std::find(all.begin(), all.end(), source) != all.end();
  };
  return !forward_destinations_.empty() && has(forward_destinations_) && !has(tap_addresses_);
}

void TapBridge::agent_lost() {
  hooks_.ask_addresses = nullptr;
  for (std::size_t i = 0; i < unknown_source_frames_.size(); ++i) parts_.guard->count(DropReason::ip_source);
  unknown_source_frames_.clear();
}

void TapBridge::packet(Packet& packet) {
  if (!packet.is_ip()) return feed(packet.frame);
  parts_.neighbours->learn(packet.source, packet.mac_source);
  if (packet.icmp_error) {
    if (!parts_.udp_forward->take_icmp_error(packet)) parts_.guard->count(DropReason::icmp_error_unmatched);
    return;
  }
  if (packet.is_udp() && parts_.udp_forward->take(packet)) return;
  if (is_forward_destination_only(packet.source)) return parts_.guard->count(DropReason::ip_source);
  if (packet.is_tcp()) return tcp_segment(packet);
  general_path(packet, reachability_.judge(packet));
}

void TapBridge::tcp_segment(Packet& packet) {
  if (parts_.outbound != nullptr && parts_.outbound->is_proof(packet)) return;
  const bool opens = opens_flow(packet);
  if (Relay* const relay = opens ? nullptr : parts_.relays->find(packet.from(), packet.to())) {
    if (!relay->has_both()) return parts_.outbound->take_early(packet, *relay);
    if (parts_.outbound != nullptr) parts_.outbound->see_stray(packet, *relay);
    return tcp_stray(packet);
  }
  const Reach reach = reachability_.judge(packet);
  const bool may_dial = reach == Reach::outside || reach == Reach::host_loopback || reach == Reach::dns;
  if (opens && may_dial && parts_.outbound != nullptr && parts_.outbound->take(packet, reach)) return;
  general_path(packet, reach);
}

void TapBridge::take_back(Bytes syn) {
  std::vector<std::uint8_t> frame(syn.begin(), syn.end());
  ParsedFrame parsed = parse_packet(frame);
  NH_BUG_IF(parsed.malformed.has_value());
  general_path(parsed.packet, reachability_.judge(parsed.packet));
  serve();
}

void TapBridge::general_path(Packet& packet, Reach reach) {
  switch (reach) {
    case Reach::outside:
    case Reach::gateway_service:
    case Reach::host_loopback:
      return to_slirp(packet);
    case Reach::dns:
      return dns(packet);
    case Reach::refuse_loopback:
      // libslirp translates a forward's client on the host's loopback to the gateway's address. A segment other than a SYN
      // belongs to a connection of such a client, or libslirp answers it by RST.
      if (packet.is_tcp() && !opens_flow(packet) && plan_.net(packet.destination.family())->gateway == packet.destination)
        return to_slirp(packet);
      return refuse(packet, counters_.refused_loopback);
    case Reach::refuse_link_local:
      return refuse(packet, counters_.refused_link_local);
    case Reach::refuse_virtual:
      return refuse(packet, counters_.refused_virtual);
    case Reach::ignore:
      ++counters_.ignored;
      return;
  }
}

void TapBridge::to_slirp(const Packet& packet) {
  if (packet.is_tcp()) {
    if (opens_flow(packet) && parts_.slirp->tcp_flows() >= limits_.tcp) {
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
  feed(packet.frame);
}

void TapBridge::feed(Bytes frame) {
  fed_ = true;
  parts_.slirp->input(frame);
}

// A segment of a relay came through the TAP, so the guest's conntrack entry has lost the mark that steers the connection
// (conntrack -F, a reloaded table). libslirp would answer it by RST. Written back into the TAP, it reaches the stand-in (the
// "pre" chain of netlink/steering.h), and the stand-in's answer sets the mark again. Where those rules are missing, a guest that
// forwards packets sends it here again; limits::strays_per_second bounds such a circle.
void TapBridge::tcp_stray(const Packet& packet) {
  ++counters_.strays;
  const Instant now = loop_.clock().now();
  if (now - stray_window_ >= std::chrono::seconds(1)) {
    stray_window_ = now;
    strays_in_window_ = 0;
  }
  if (++strays_in_window_ > limits::strays_per_second) return;
  std::vector<std::uint8_t> frame(packet.frame.begin(), packet.frame.end());
  const AddressPlan::Net* net = plan_.net(packet.source.family());
  const MacAddress from = AddressPlan::gateway_mac((net == nullptr ? plan_.v4 : *net).gateway);
  std::copy(packet.mac_source.bytes.begin(), packet.mac_source.bytes.end(), frame.begin());
  std::copy(from.bytes.begin(), from.bytes.end(), frame.begin() + 6);
  parts_.output->send_to_guest(frame);
  // A segment without TCP options would otherwise be kept for merging until libslirp is served.
  parts_.output->flush();
}

void TapBridge::dns(Packet& packet) {
  if (packet.is_udp() && parts_.dns != nullptr) return parts_.dns->take_udp(packet);
  if (!packet.is_tcp() || !parts_.redirect || !parts_.redirect->to_listener(packet))
    return refuse(packet, counters_.refused_virtual);
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
