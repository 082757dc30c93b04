// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/guard/frame_guard.h"

#include "netstack/frame/checksum.h"
#include "netstack/frame/wire.h"
#include "netstack/guard/service_checks.h"
#include "netstack/guard/transport_checks.h"

namespace nh {
namespace {

constexpr std::size_t tcp_flags_word = 12, tcp_checksum_field = 16, tcp_urgent_field = 18;

// The MAC addresses of our own frames (AddressPlan::gateway_mac). Such a source in a frame of the guest is a loop or spoofed.
bool is_our_mac(const MacAddress& mac, const AddressPlan& plan) {
  if (mac.bytes[0] != 0x52 || (mac.bytes[1] != 0x55 && mac.bytes[1] != 0x56)) return false;
  if (mac == AddressPlan::gateway_mac(plan.v4.gateway) || mac == AddressPlan::gateway_mac(plan.v4.dns)) return true;
  return plan.v6 && (mac == AddressPlan::gateway_mac(plan.v6->gateway) || mac == AddressPlan::gateway_mac(plan.v6->dns));
}

bool ipv4_header_ok(const Packet& packet) {
  return checksum_finish(checksum_add(packet.frame.subspan(packet.ip_offset, ipv4_header), 0)) == 0;
}

DropReason checksum_reason(const Packet& packet) {
  if (packet.is_tcp()) return DropReason::tcp_checksum;
  return packet.is_udp() ? DropReason::udp_checksum : DropReason::icmp_checksum;
}

bool is_carried(const Packet& packet) {
  const auto icmp = packet.source.is_v4() ? protocol::icmp : protocol::icmpv6;
  return packet.protocol == protocol::tcp || packet.protocol == protocol::udp || packet.protocol == icmp;
}

}  // namespace

FrameGuard::FrameGuard(const GuardSetup& setup, const Clock& clock)
    : setup_(setup), sources_(setup.plan), reassembly_(clock, drops_) {}

void FrameGuard::expire() {
  reassembly_.expire();
}

GuardVerdict FrameGuard::drop(DropReason reason) {
  drops_.count(reason);
  return {};
}

GuardVerdict FrameGuard::inspect(MutableBytes frame) {
  ParsedFrame parsed = parse_packet(frame);
  Packet& packet = parsed.packet;
  if (const auto reason = check_link(packet, frame.size())) return drop(*reason);
  if (parsed.malformed) return drop(*parsed.malformed);
  if (packet.ether == ether_type::arp) {
    if (const auto reason = check_arp(packet, setup_.plan, sources_)) return drop(*reason);
    return {GuardAction::pass, packet};
  }
  if (packet.hop_limit == 0) return drop(DropReason::ip_ttl);
  if (packet.source.is_v4() && !ipv4_header_ok(packet)) return drop(DropReason::ip_header);
  if (!is_carried(packet)) return drop(DropReason::ip_protocol);
  switch (sources_.judge(packet)) {
    case SourceRule::Verdict::allowed:
      break;
    case SourceRule::Verdict::refused:
      return drop(DropReason::ip_source);
    case SourceRule::Verdict::unknown:
      return {GuardAction::unknown_source, packet};
  }
  if (packet.fragment) return fragment(packet);
  if (const auto reason = check_transport(packet)) return drop(*reason);
  return {GuardAction::pass, packet};
}

std::optional<DropReason> FrameGuard::check_link(const Packet& packet, std::size_t frame_size) const {
  if (frame_size < ethernet_header) return DropReason::frame_short;
  if (frame_size > ethernet_header + setup_.max_ip_size) return DropReason::frame_long;
  if (packet.ether != ether_type::arp && !packet.is_ip()) return DropReason::ether_type;
  if (packet.ether == ether_type::ipv6 && !setup_.ipv6) return DropReason::ipv6_off;
  if (packet.mac_source.is_multicast() || is_our_mac(packet.mac_source, setup_.plan)) return DropReason::mac_source;
  return {};
}

GuardVerdict FrameGuard::fragment(const Packet& piece) {
  if (piece.protocol == protocol::tcp) return drop(DropReason::fragment_tcp);
  switch (reassembly_.add(piece, whole_)) {
    case Reassembly::State::dropped:
      return {};
    case Reassembly::State::waiting:
      return {GuardAction::hold, piece};
    case Reassembly::State::whole:
      break;
  }
  ++reassembled_;
  ParsedFrame parsed = parse_packet(whole_);
  if (parsed.malformed) return drop(*parsed.malformed);
  // Neighbour discovery must not be fragmented (RFC 6980).
  if (parsed.packet.protocol == protocol::icmpv6 && parsed.packet.icmp_type >= icmpv6_type::router_solicitation)
    return drop(DropReason::icmp_type);
  if (const auto reason = check_transport(parsed.packet)) return drop(*reason);
  return {GuardAction::pass, parsed.packet};
}

std::optional<DropReason> FrameGuard::check_transport(Packet& packet) {
  std::optional<DropReason> reason;
  bool verify = true;
  switch (packet.protocol) {
    case protocol::tcp:
      reason = check_tcp(packet);
      verify = (packet.tcp_flags & tcp_flag::syn) != 0;
      break;
    case protocol::udp:
      reason = check_udp(packet);
      if (!reason) reason = check_services(packet, setup_.plan);
      break;
    default:
      reason = packet.source.is_v4() ? check_icmp(packet) : check_icmpv6(packet, setup_.plan);
  }
  if (reason) return reason;
  if (verify && setup_.checksums_complete && !transport_checksum_ok(packet)) return checksum_reason(packet);
  if (packet.is_tcp()) clear_urgent(packet);
  return {};
}

void FrameGuard::clear_urgent(Packet& packet) {
  const MutableBytes segment = packet.l4();
  const std::uint16_t pointer = wire::load16(segment, tcp_urgent_field);
  if ((packet.tcp_flags & tcp_flag::urg) == 0 && pointer == 0) return;
  ++urg_cleared_;
  const std::uint16_t word = wire::load16(segment, tcp_flags_word);
  const auto cleared = static_cast<std::uint16_t>(word & ~unsigned{tcp_flag::urg});
  wire::store16(segment, tcp_flags_word, cleared);
  wire::store16(segment, tcp_urgent_field, 0);
  packet.tcp_flags = static_cast<std::uint8_t>(packet.tcp_flags & ~unsigned{tcp_flag::urg});
  if (!setup_.checksums_complete) return;  // a partial one covers addresses and length only
  const std::uint16_t checksum = checksum_update(wire::load16(segment, tcp_checksum_field), word, cleared);
  wire::store16(segment, tcp_checksum_field, checksum_update(checksum, pointer, 0));
}

}  // namespace nh
