// SPDX-License-Identifier: BSD-3-Clause
// The inside's half of the network: lo, and the TAP that the helper will carry.
//
// Addresses. By default they are the helper's own (netns-helper.1, --cidr), and it configures the TAP. --net-plan=private: a
// /25 and a /64 of this run's own, by chance, and in them the smallest network that holds the guest and a next hop: a /30
// from +100 on,
//     +101 the next hop, a permanent neighbour      +102 the guest
// which we configure ourselves, with static neighbours, before the helper gets the TAP. The helper's gateway (+2) and DNS
// address (+3) lie behind the next hop; no ARP is needed.
#pragma once

#include <vector>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/netlink/interface_plan.h"
#include "tools/netns-run/plan.h"

namespace nh::run {

struct GuestNetwork {
  std::vector<Address> nameservers;  ///< where the helper answers DNS
  std::vector<Address> addresses;    ///< of the guest
  InterfacePlan interface;           ///< Addresses::private_30
};

/// Networks that break AddressPlan's rules are our bug: the options have checked them.
GuestNetwork guest_network(const NetworkPlan& plan);

/// Brings lo up in the present network namespace.
Result<> bring_up_loopback();

/// Makes tap0 in the present network namespace, and configures it if the plan says that we do.
Result<UniqueFd> make_tap(const NetworkPlan& plan, const GuestNetwork& network);

/// Lets everybody in the present network namespace bind any port (ip(7), ip_unprivileged_port_start): the ports below 1024 of a
/// namespace of the command's own are nobody else's. Where it cannot be, a debug line says why.
void allow_low_ports();

/// Lets processes of this group (of ours, inside) use ping sockets in the present network namespace (icmp(7),
/// ping_group_range; a new one lets nobody). They then need no capability for ping(8). Where it cannot be, a debug line says
/// why.
void allow_ping(gid_t gid);

}  // namespace nh::run
