// SPDX-License-Identifier: BSD-3-Clause
// What the guard demands of TCP, UDP, ICMP and ICMPv6 beyond what parse_packet has checked. Pure
// functions: the reason to drop, or nothing. None is for fragments.
#pragma once

#include <optional>

#include "netstack/frame/packet.h"
#include "netstack/plan/address_plan.h"

namespace nh {

/// Flags and ports; on a SYN the options too, which libslirp reads then.
std::optional<DropReason> check_tcp(const Packet& packet);
/// Ports, and the checksum's presence over IPv6 (RFC 8200 8.1).
std::optional<DropReason> check_udp(const Packet& packet);
/// Echo requests and errors; nothing else of the guest has a meaning to us. Errors get their quote
/// read.
std::optional<DropReason> check_icmp(Packet& packet);
/// The same and neighbour discovery (RFC 4861 6.1, 7.1), which must not claim an address of ours.
std::optional<DropReason> check_icmpv6(Packet& packet, const AddressPlan& plan);

/// True if the transport checksum is right; UDP over IPv4 without one is right.
bool transport_checksum_ok(const Packet& packet);

}  // namespace nh
