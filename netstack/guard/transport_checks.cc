// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/guard/transport_checks.h"

#include "netstack/frame/checksum.h"
#include "netstack/frame/wire.h"

namespace nh {
namespace {

// TCP options (RFC 9293 3.1): end 0 and no-operation 1 are single bytes, the others carry their
// length.
bool tcp_options_fit(Bytes options) {
  std::size_t at = 0;
  while (at < options.size() && options[at] != 0) {
    if (options[at] == 1) {
      ++at;
      continue;
    }
    if (at + 1 >= options.size() || options[at + 1] < 2 || options[at + 1] > options.size() - at) return false;
    at += options[at + 1];
  }
  return true;
}

// Options of neighbour discovery (RFC 4861 4.6): length in units of 8 bytes, never 0.
bool discovery_options_fit(Bytes options) {
  while (!options.empty()) {
    if (options.size() < 8 || options[1] == 0 || options[1] * std::size_t{8} > options.size()) return false;
    options = options.subspan(options[1] * std::size_t{8});
  }
  return true;
}

std::optional<DropReason> check_discovery(const Packet& packet, const AddressPlan& plan) {
  constexpr std::uint8_t on_link = 255;  // RFC 4861: not forwarded by a router
  constexpr std::size_t target_size = 16;
  const Bytes body = packet.payload();
  if (packet.hop_limit != on_link || packet.l4()[1] != 0) return DropReason::icmp_malformed;
  if (packet.icmp_type == icmpv6_type::router_solicitation)
    return discovery_options_fit(body) ? std::nullopt : std::optional(DropReason::icmp_malformed);
  if (body.size() < target_size || !discovery_options_fit(body.subspan(target_size))) return DropReason::icmp_malformed;
  const Address target = Address::from_bytes(body.first(target_size));
  if (target.is_multicast()) return DropReason::icmp_malformed;
  if (packet.icmp_type == icmpv6_type::neighbour_advertisement && plan.is_ours(target)) return DropReason::ndp_spoofed;
  return {};
}

}  // namespace

std::optional<DropReason> check_tcp(const Packet& packet) {
  const unsigned flags = packet.tcp_flags;
  constexpr unsigned meaningful =
      tcp_flag::fin | tcp_flag::syn | tcp_flag::rst | tcp_flag::ack | tcp_flag::psh | tcp_flag::urg;
  const bool syn = (flags & tcp_flag::syn) != 0;
  if ((flags & meaningful) == 0 || (syn && (flags & (tcp_flag::fin | tcp_flag::rst)) != 0)) return DropReason::tcp_flags;
  if (packet.source_port == 0 || packet.destination_port == 0) return DropReason::port_zero;
  const std::size_t options = packet.l4_offset + tcp_header;
  if (syn && !tcp_options_fit(packet.frame.subspan(options, packet.payload_offset - options))) return DropReason::tcp_header;
  return {};
}

std::optional<DropReason> check_udp(const Packet& packet) {
  if (packet.source_port == 0 || packet.destination_port == 0) return DropReason::port_zero;
  if (packet.source.is_v6() && wire::load16(packet.l4(), 6) == 0) return DropReason::udp_checksum;
  return {};
}

std::optional<DropReason> check_icmp(Packet& packet) {
  if (packet.icmp_error) return read_quote(packet) ? std::nullopt : std::optional(DropReason::icmp_malformed);
  if (packet.icmp_type != icmp_type::echo_request) return DropReason::icmp_type;
  return packet.l4()[1] == 0 ? std::nullopt : std::optional(DropReason::icmp_malformed);
}

std::optional<DropReason> check_icmpv6(Packet& packet, const AddressPlan& plan) {
  if (packet.icmp_error) return read_quote(packet) ? std::nullopt : std::optional(DropReason::icmp_malformed);
  switch (packet.icmp_type) {
    case icmpv6_type::echo_request:
      return packet.l4()[1] == 0 ? std::nullopt : std::optional(DropReason::icmp_malformed);
    case icmpv6_type::router_solicitation:
    case icmpv6_type::neighbour_solicitation:
    case icmpv6_type::neighbour_advertisement:
      return check_discovery(packet, plan);
    default:
      return DropReason::icmp_type;
  }
}

bool transport_checksum_ok(const Packet& packet) {
  const Bytes message = packet.l4();
  std::uint64_t sum = 0;
  if (packet.is_udp() && packet.source.is_v4() && wire::load16(message, 6) == 0) return true;
  if (packet.protocol != protocol::icmp)
    sum = checksum_pseudo(packet.source, packet.destination, packet.protocol, static_cast<std::uint32_t>(message.size()));
  return checksum_finish(checksum_add(message, sum)) == 0;
}

}  // namespace nh
