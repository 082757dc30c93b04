// SPDX-License-Identifier: BSD-3-Clause
// Frames that we make ourselves: UDP datagrams of forwards and DNS, ICMP errors, TCP resets.
#pragma once

#include "netstack/frame/frame_sink.h"
#include "netstack/frame/packet.h"

namespace nh {

/// The Ethernet part of a frame to the guest.
struct LinkPath {
  MacAddress from;  ///< AddressPlan::gateway_mac of the IP source, as libslirp does
  MacAddress to;
};

/// Sends a UDP datagram (payload up to limits::datagram) from `from` to `to`, both of one family. Larger than the MTU
/// (bytes of IP packet), it goes out in fragments, as RFC 791 and RFC 8200 4.5 say.
void send_udp(FrameSink& sink, const LinkPath& link, const Endpoint& from, const Endpoint& to, Bytes payload, unsigned mtu);

enum class Unreachable : std::uint8_t { net, host, port, prohibited };

/// Answers `offending` (a frame of the guest) with an ICMP or ICMPv6 destination-unreachable from `from`, quoting as
/// much as RFC 1812 4.3.2.3 (576 bytes) or RFC 4443 2.4 (1280 bytes) allow. Never sent for ICMP errors, fragments other than the first,
/// multicast or broadcast (RFC 1122 3.2.2); then false.
bool send_unreachable(FrameSink& sink, const Packet& offending, const Address& from, Unreachable kind);

/// Answers a TCP segment of the guest with RST as RFC 9293 3.10.7.1 says for a closed port: for a SYN, RST|ACK with
/// ack = sequence + segment length. Never for a RST; then false.
bool send_tcp_reset(FrameSink& sink, const Packet& segment);

}  // namespace nh
