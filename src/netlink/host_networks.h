// SPDX-License-Identifier: BSD-3-Clause
// Networks that the host has routes to, and a network for a guest that is none of them. What lies in the guest's own network the
// guest asks for by ARP, on its own link: the host's part of a network of the same numbers is out of its reach.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "src/base/address.h"
#include "src/base/result.h"

namespace nh {

/// The destinations of the routes, of all routing tables, in the present network namespace (rtnetlink(7), RTM_GETROUTE): local
/// addresses and unicast routes. Left out: loopback, link-local and multicast, and default routes, for which any prefix shorter
/// than 8 bits counts (a VPN splits its own in two halves). At most 4096; the rest of a larger table is not looked at.
Result<std::vector<Cidr>> host_networks();

/// The first of `networks` that shares addresses with `network`; nullopt: none does.
std::optional<Cidr> overlapping(std::span<const Cidr> networks, const Cidr& network);

/// The first of these that overlaps with none of `used`: `preferred`; networks of its prefix length in 10.0.3.0 to 10.0.254.255,
/// 172.30.0.0/16, 192.168.0.0/16 from the top down, and 198.18.0.0/15 (RFC 2544: no ordinary network has it), or, for IPv6, the
/// /64s fd00:0:0:1:: to fd00:0:0:ff::. `preferred` if there is none. IPv4 prefixes are 24.
Cidr free_network(const Cidr& preferred, std::span<const Cidr> used);

}  // namespace nh
