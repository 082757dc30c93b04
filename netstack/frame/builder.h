// SPDX-License-Identifier: BSD-3-Clause
// Builds frames: UDP datagrams of forwards and DNS, ICMP errors, TCP resets.
#pragma once

#include "netstack/frame/frame_sink.h"
#include "netstack/frame/packet.h"

namespace nh {

/// The Ethernet part of a frame to the guest.
struct LinkPath {
  MacAddress from;  ///< AddressPlan::gateway_mac of the IP source, as libslirp does
  MacAddress to;
};

/// Sends a UDP datagram (payload up to limits::datagram) from `from` to `to`, both of one family, in fragments if it is larger
/// than `mtu` (bytes of IP packet; RFC 791, RFC 8200 4.5).
void send_udp(FrameSink& sink, const LinkPath& link, const Endpoint& from, const Endpoint& to, Bytes payload, unsigned mtu);

/// Bytes that send_udp_run() needs before the payloads.
inline constexpr std::size_t udp_run_headroom = ethernet_header + ipv6_header + udp_header;
/// Most datagrams of a run: what UDP_SEGMENT allows in every kernel that has it (UDP_MAX_SEGMENTS was 64 at first).
inline constexpr std::size_t udp_run_datagrams = 64;
/// Most payload bytes of a run: its headers are those of one IP packet.
inline constexpr std::size_t udp_run_bytes = 65535 - ipv6_header - udp_header;

/// Sends UDP datagrams of `segment` bytes (the last may be shorter, none longer than the MTU allows) as one frame
/// and returns the result of FrameSink::send_run_to_guest(). `buffer` is udp_run_headroom bytes to write to, then the payloads.
bool send_udp_run(FrameSink& sink, const LinkPath& link, const Endpoint& from, const Endpoint& to, MutableBytes buffer,
                  std::uint16_t segment);

/// The last four exist in IPv4 only and are sent as `host` over IPv6.
enum class Unreachable : std::uint8_t { net, host, port, prohibited, protocol, source_route, host_unknown, host_isolated };

/// Answers `offending` (a frame of the guest) with an ICMP or ICMPv6 destination-unreachable from `from`, quoting as
/// much as RFC 1812 4.3.2.3 (576 bytes) or RFC 4443 2.4 (1280 bytes) allow. Never sent for ICMP errors, fragments other than the first,
/// multicast or broadcast (RFC 1122 3.2.2); then false.
bool send_unreachable(FrameSink& sink, const Packet& offending, const Address& from, Unreachable kind);

/// A UDP datagram of the guest for an ICMP error to quote when its frame is not there any more; `payload` may be truncated.
struct SentDatagram {
  Endpoint from, to;
  Bytes payload;
};

/// Sends the guest an ICMP destination-unreachable from `reporter` that quotes a datagram of the guest.
void send_unreachable(FrameSink& sink, const LinkPath& link, const SentDatagram& datagram, const Address& reporter,
                      Unreachable kind);
/// The same for "fragmentation needed" (RFC 1191 4) or "packet too big" (RFC 4443 3.2).
void send_too_big(FrameSink& sink, const LinkPath& link, const SentDatagram& datagram, const Address& reporter,
                  std::uint32_t mtu);

/// Answers a TCP segment of the guest with RST as RFC 9293 3.10.7.1 says for a closed port: for a SYN, RST|ACK with
/// ack = sequence + segment length. Never for a RST; then false.
bool send_tcp_reset(FrameSink& sink, const Packet& segment);

}  // namespace nh
