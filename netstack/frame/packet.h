// SPDX-License-Identifier: BSD-3-Clause
// Packet: a parsed frame. Everything after the guard uses this view and does not parse again.
//
// parse_packet() checks every length against the bytes that are there, so no accessor below can read outside the frame. It
// accepts every well-formed packet; FrameGuard drops the unwanted ones. Layouts: IPv4 RFC 791, IPv6 RFC 8200, TCP RFC 9293, UDP
// RFC 768, ICMP RFC 792, ICMPv6 RFC 4443.
#pragma once

#include <cstdint>
#include <optional>

#include "netstack/frame/drop_reason.h"
#include "src/base/address.h"

namespace nh {

namespace ether_type {
inline constexpr std::uint16_t ipv4 = 0x0800;
inline constexpr std::uint16_t arp = 0x0806;
inline constexpr std::uint16_t ipv6 = 0x86dd;
}  // namespace ether_type

namespace protocol {
inline constexpr std::uint8_t icmp = 1;
inline constexpr std::uint8_t tcp = 6;
inline constexpr std::uint8_t udp = 17;
inline constexpr std::uint8_t icmpv6 = 58;
}  // namespace protocol

namespace icmp_type {
inline constexpr std::uint8_t unreachable = 3, echo_request = 8, time_exceeded = 11, parameter_problem = 12;
}

namespace icmpv6_type {
inline constexpr std::uint8_t unreachable = 1, too_big = 2, time_exceeded = 3, parameter_problem = 4, echo_request = 128,
                              mld_query = 130, mld_report = 131, mld_done = 132, router_solicitation = 133,
                              neighbour_solicitation = 135, neighbour_advertisement = 136, mldv2_report = 143;
}

namespace tcp_flag {
inline constexpr std::uint8_t fin = 0x01, syn = 0x02, rst = 0x04, psh = 0x08, ack = 0x10, urg = 0x20, ece = 0x40, cwr = 0x80;
}

inline constexpr std::size_t ethernet_header = 14;
inline constexpr std::size_t ipv4_header = 20;
inline constexpr std::size_t ipv6_header = 40;
inline constexpr std::size_t udp_header = 8;
inline constexpr std::size_t tcp_header = 20;
inline constexpr std::size_t icmp_header = 8;
inline constexpr std::size_t ipv6_fragment_header = 8;

struct Packet {
  MutableBytes frame;  ///< the whole frame, trailing padding beyond the IP length cut off; not owned
  MacAddress mac_source, mac_destination;
  std::uint16_t ether = 0;  ///< ether_type

  // For IPv4 and IPv6 only:
  Address source, destination;
  std::uint8_t protocol = 0;   ///< of the transport header (after IPv6 extension headers that were walked)
  std::uint8_t hop_limit = 0;  ///< TTL
  std::size_t ip_offset = 0;   ///< of the IP header in frame
  std::size_t l4_offset = 0;   ///< of the transport header (or fragment data) in frame
  bool fragment = false;       ///< part of a fragmented datagram
  std::uint32_t fragment_id = 0;
  std::uint32_t fragment_offset = 0;  ///< bytes
  bool more_fragments = false;
  std::size_t fragment_header_offset = 0;  ///< IPv6 only: of the fragment header in frame

  // For TCP and UDP that are not fragments:
  std::uint16_t source_port = 0, destination_port = 0;
  std::uint8_t tcp_flags = 0;
  std::size_t payload_offset = 0;  ///< of the transport payload in frame

  // For ICMP and ICMPv6 that are not fragments:
  std::uint8_t icmp_type = 0;
  /// An error message (destination unreachable, time exceeded, parameter problem, packet too big).
  /// read_quote() reads the addresses and ports of the packet that it quotes.
  bool icmp_error = false;
  std::uint8_t quoted_protocol = 0;
  Endpoint quoted_from, quoted_to;

  bool is_ip() const { return ether == ether_type::ipv4 || ether == ether_type::ipv6; }
  bool is_tcp() const { return is_ip() && protocol == protocol::tcp && !fragment; }
  bool is_udp() const { return is_ip() && protocol == protocol::udp && !fragment; }
  bool is_icmp() const { return is_ip() && (protocol == protocol::icmp || protocol == protocol::icmpv6) && !fragment; }
  Endpoint from() const { return {source, source_port}; }
  Endpoint to() const { return {destination, destination_port}; }
  MutableBytes l4() const { return frame.subspan(l4_offset); }
  MutableBytes payload() const { return frame.subspan(payload_offset); }
};

/// A parsed frame, or the reason why it is malformed.
struct ParsedFrame {
  Packet packet;
  std::optional<DropReason> malformed;
};
/// IPv4 options count as malformed, because they are not carried, and so do IPv6 extension headers other than one fragment
/// header that comes first.
ParsedFrame parse_packet(MutableBytes frame);

/// For an icmp_error: fills in quoted_* from the quoted packet. False unless the quote is a whole IP header of the same family
/// and the ports of TCP or UDP in a first fragment.
bool read_quote(Packet& packet);

}  // namespace nh
