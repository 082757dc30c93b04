// SPDX-License-Identifier: BSD-3-Clause
// Frames as a guest sends them, for tests: well-formed unless a test spoils them. Checksums are
// computed here, byte pair by byte pair, and not by netstack/frame, so that a test cannot share a
// mistake with what it tests.
#pragma once

#include <vector>

#include "netstack/frame/packet.h"
#include "netstack/plan/address_plan.h"

namespace nh::test {

using Frame = std::vector<std::uint8_t>;

/// 10.0.2.0/24 and fd00::/64.
AddressPlan plan(unsigned mtu = 1500);
/// Text to address; a mistake in it aborts.
Address addr(std::string_view text);
Endpoint at(std::string_view address, std::uint16_t port);
inline const MacAddress guest_mac{{0x02, 0, 0, 0, 0, 0x64}};

struct TcpFields {
  std::uint32_t sequence = 1000, acknowledgement = 0;
  std::uint8_t flags = tcp_flag::syn;
  std::uint16_t window = 65535, urgent = 0;
  Frame options = {};
};

Frame text(std::string_view payload);
Frame ethernet(std::uint16_t type, Bytes payload, const MacAddress& source = guest_mac);
Frame ip(const Address& from, const Address& to, std::uint8_t protocol, Bytes l4, std::uint8_t hop_limit = 64);
Frame udp(const Endpoint& from, const Endpoint& to, Bytes payload = {});
Frame tcp(const Endpoint& from, const Endpoint& to, const TcpFields& fields = {}, Bytes payload = {});
/// ICMP or ICMPv6 by the addresses' family; `rest` is what follows the checksum. Hop limit 255, as
/// discovery wants it.
Frame icmp(const Address& from, const Address& to, std::uint8_t type, std::uint8_t code, Bytes rest);
Frame arp(std::uint16_t operation, const Address& sender, const Address& target, const MacAddress& mac = guest_mac);
/// A DHCP discover with these options behind the cookie.
Frame dhcp_message(Bytes options);

/// One fragment of `whole` (a frame of udp(), icmp() or tcp()): `size` bytes of its transport part
/// from `offset` on.
Frame piece_of(const Frame& whole, std::size_t offset, std::size_t size, bool more, std::uint32_t id = 7);
/// All of it in pieces of `size` (a multiple of 8).
std::vector<Frame> fragments(const Frame& whole, std::size_t size, std::uint32_t id = 7);

/// Makes all checksums right again after a change: IPv4 header, and the transport's if the frame is
/// no fragment and long enough to have one. Lengths are taken from the headers and kept within the
/// frame.
void fix_checksums(MutableBytes frame);

}  // namespace nh::test
