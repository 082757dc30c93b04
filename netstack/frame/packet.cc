// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/frame/packet.h"

#include <algorithm>

#include "netstack/frame/wire.h"

namespace nh {
namespace {

using wire::load16;
using wire::load32;

namespace next_header {
constexpr std::uint8_t hop_by_hop = 0, routing = 43, fragment = 44, authentication = 51, destination = 60, mobility = 135,
                       host_identity = 139, shim6 = 140;
}  // namespace next_header

bool is_extension(std::uint8_t header) {
  switch (header) {
    case next_header::hop_by_hop:
    case next_header::routing:
    case next_header::fragment:
    case next_header::authentication:
    case next_header::destination:
    case next_header::mobility:
    case next_header::host_identity:
    case next_header::shim6:
      return true;
    default:
      return false;
  }
}

bool is_icmp_error(std::uint8_t protocol, std::uint8_t type) {
  if (protocol == protocol::icmpv6) return type >= icmpv6_type::unreachable && type <= icmpv6_type::parameter_problem;
  return type == icmp_type::unreachable || type == icmp_type::time_exceeded || type == icmp_type::parameter_problem;
}

std::optional<DropReason> parse_tcp(Packet& packet) {
  const Bytes segment = packet.l4();
  if (segment.size() < tcp_header) return DropReason::tcp_header;
  const std::size_t header = std::size_t{4} * (segment[12] >> 4);
  if (header < tcp_header || header > segment.size()) return DropReason::tcp_header;
  packet.source_port = load16(segment, 0);
  packet.destination_port = load16(segment, 2);
  packet.tcp_flags = segment[13];
  packet.payload_offset = packet.l4_offset + header;
  return {};
}

std::optional<DropReason> parse_udp(Packet& packet) {
  const Bytes datagram = packet.l4();
  if (datagram.size() < udp_header || load16(datagram, 4) != datagram.size()) return DropReason::udp_length;
  packet.source_port = load16(datagram, 0);
  packet.destination_port = load16(datagram, 2);
  packet.payload_offset = packet.l4_offset + udp_header;
  return {};
}

std::optional<DropReason> parse_icmp(Packet& packet) {
  const Bytes message = packet.l4();
  if (message.size() < icmp_header) return DropReason::icmp_malformed;
  packet.icmp_type = message[0];
  packet.icmp_error = is_icmp_error(packet.protocol, packet.icmp_type);
  packet.payload_offset = packet.l4_offset + icmp_header;
  return {};
}

std::optional<DropReason> parse_transport(Packet& packet) {
  packet.payload_offset = packet.l4_offset;
  if (packet.fragment) return {};
  switch (packet.protocol) {
    case protocol::tcp:
      return parse_tcp(packet);
    case protocol::udp:
      return parse_udp(packet);
    case protocol::icmp:
      return packet.source.is_v4() ? parse_icmp(packet) : std::nullopt;
    case protocol::icmpv6:
      return packet.source.is_v6() ? parse_icmp(packet) : std::nullopt;
    default:
      return {};
  }
}

std::optional<DropReason> parse_ipv4(Packet& packet) {
  const Bytes ip = packet.frame.subspan(packet.ip_offset);
  if (ip.size() < ipv4_header) return DropReason::ip_header;
  if (ip[0] >> 4 != 4) return DropReason::ip_version;
  const std::size_t total = load16(ip, 2);
  if ((ip[0] & 0x0f) * 4 != ipv4_header || total < ipv4_header || total > ip.size()) return DropReason::ip_header;
  packet.frame = packet.frame.first(packet.ip_offset + total);
  packet.source = Address::from_bytes(ip.subspan(12, 4));
  packet.destination = Address::from_bytes(ip.subspan(16, 4));
  packet.protocol = ip[9];
  packet.hop_limit = ip[8];
  packet.l4_offset = packet.ip_offset + ipv4_header;
  const std::uint16_t flags_and_offset = load16(ip, 6);
  packet.more_fragments = (flags_and_offset & 0x2000) != 0;
  packet.fragment_offset = (flags_and_offset & 0x1fffu) * 8;
  packet.fragment = packet.more_fragments || packet.fragment_offset != 0;
  packet.fragment_id = load16(ip, 4);
  return parse_transport(packet);
}

// The reason for an IPv6 packet whose first extension header is not carried. Multicast listener reports have hop-by-hop options
// with a router alert (RFC 3810 5); every Linux guest sends some, so they have a reason of their own.
DropReason name_extension(std::uint8_t header, Bytes data) {
  if (header != next_header::hop_by_hop || data.size() < 8) return DropReason::ipv6_extension;
  const std::size_t size = (std::size_t{data[1]} + 1) * 8;
  if (data[0] != protocol::icmpv6 || size >= data.size()) return DropReason::ipv6_extension;
  switch (data[size]) {
    case icmpv6_type::mld_query:
    case icmpv6_type::mld_report:
    case icmpv6_type::mld_done:
    case icmpv6_type::mldv2_report:
      return DropReason::icmp_type;
    default:
      return DropReason::ipv6_extension;
  }
}

std::optional<DropReason> parse_ipv6(Packet& packet) {
  const Bytes ip = packet.frame.subspan(packet.ip_offset);
  if (ip.size() < ipv6_header) return DropReason::ip_header;
  if (ip[0] >> 4 != 6) return DropReason::ip_version;
  const std::size_t payload = load16(ip, 4);
  if (payload > ip.size() - ipv6_header) return DropReason::ip_header;
  packet.frame = packet.frame.first(packet.ip_offset + ipv6_header + payload);
  packet.source = Address::from_bytes(ip.subspan(8, 16));
  packet.destination = Address::from_bytes(ip.subspan(24, 16));
  packet.protocol = ip[6];
  packet.hop_limit = ip[7];
  packet.l4_offset = packet.ip_offset + ipv6_header;
  if (packet.protocol == next_header::fragment) {
    const Bytes header = packet.l4();
    if (header.size() < ipv6_fragment_header) return DropReason::fragment_malformed;
    packet.fragment = true;
    packet.fragment_header_offset = packet.l4_offset;
    packet.protocol = header[0];
    const std::uint16_t offset_and_more = load16(header, 2);
    packet.more_fragments = (offset_and_more & 1) != 0;
    packet.fragment_offset = offset_and_more & 0xfff8u;
    packet.fragment_id = load32(header, 4);
    packet.l4_offset += ipv6_fragment_header;
  }
  if (is_extension(packet.protocol))
    return name_extension(packet.fragment ? next_header::fragment : packet.protocol, packet.l4());
  return parse_transport(packet);
}

}  // namespace

ParsedFrame parse_packet(MutableBytes frame) {
  ParsedFrame parsed;
  Packet& packet = parsed.packet;
  packet.frame = frame;
  if (frame.size() < ethernet_header) {
    parsed.malformed = DropReason::frame_short;
    return parsed;
  }
  std::copy_n(frame.begin(), 6, packet.mac_destination.bytes.begin());
  std::copy_n(frame.begin() + 6, 6, packet.mac_source.bytes.begin());
  packet.ether = load16(frame, 12);
  packet.ip_offset = ethernet_header;
  packet.l4_offset = ethernet_header;
  packet.payload_offset = ethernet_header;
  if (packet.ether == ether_type::ipv4) parsed.malformed = parse_ipv4(packet);
  if (packet.ether == ether_type::ipv6) parsed.malformed = parse_ipv6(packet);
  return parsed;
}

bool read_quote(Packet& packet) {
  NH_BUG_IF(!packet.icmp_error);
  const Bytes quote = packet.payload();
  const bool v4 = packet.protocol == protocol::icmp;
  const std::size_t header = v4 ? ipv4_header : ipv6_header;
  if (quote.size() < header + 4) return false;
  // Our packets and libslirp's have no IPv4 options and no extension header but the fragment header; the first fragment has the
  // ports.
  if (quote[0] >> 4 != (v4 ? 4 : 6) || (v4 && (quote[0] & 0x0f) * 4 != ipv4_header)) return false;
  std::size_t ports = header;
  packet.quoted_protocol = v4 ? quote[9] : quote[6];
  if (v4) {
    if ((load16(quote, 6) & 0x1fff) != 0) return false;
  } else if (packet.quoted_protocol == next_header::fragment) {
    if (quote.size() < header + ipv6_fragment_header + 4 || (load16(quote, header + 2) & 0xfff8) != 0) return false;
    packet.quoted_protocol = quote[header];
    ports += ipv6_fragment_header;
  }
  if (packet.quoted_protocol != protocol::udp && packet.quoted_protocol != protocol::tcp) return false;
  const std::size_t width = v4 ? 4 : 16;
  packet.quoted_from = {Address::from_bytes(quote.subspan(header - 2 * width, width)), load16(quote, ports)};
  packet.quoted_to = {Address::from_bytes(quote.subspan(header - width, width)), load16(quote, ports + 2)};
  return true;
}

}  // namespace nh
