// SPDX-License-Identifier: BSD-3-Clause
// Checks of TCP, UDP, ICMP and ICMPv6 beyond those of parse_packet(). Pure functions that return the reason to drop, if any. Not
// for fragments.
#pragma once

#include <optional>

#include "netstack/frame/packet.h"
#include "netstack/plan/address_plan.h"

namespace nh {

/// Flags and ports; of a SYN the options too, because libslirp parses them.
std::optional<DropReason> check_tcp(const Packet& packet);
/// Ports, and that there is a checksum over IPv6 (RFC 8200 8.1).
std::optional<DropReason> check_udp(const Packet& packet);
/// Passes echo requests and errors only. Reads the quote of an error.
std::optional<DropReason> check_icmp(Packet& packet);
/// Passes those and neighbour discovery (RFC 4861 6.1, 7.1) that does not claim an address of ours.
std::optional<DropReason> check_icmpv6(Packet& packet, const AddressPlan& plan);

/// True if the transport checksum is right; UDP over IPv4 without one is right.
bool transport_checksum_ok(const Packet& packet);

}  // namespace nh
