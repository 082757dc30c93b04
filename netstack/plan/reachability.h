// SPDX-License-Identifier: BSD-3-Clause
// Reachability: decides whether the guest may reach a destination address, and what it stands for. Every frame's own
// destination is judged here, and only here, before libslirp or OutboundTcp sees the frame.
//
// Pure: no I/O, no state but the rules. libslirp's disable_host_loopback is set too, but is not enough: it passes a frame to
// 127.0.0.1 or 0.0.0.0 to the host's loopback (measured with slirp4netns 1.2.0).
#pragma once

#include <cstdint>

#include "netstack/frame/packet.h"
#include "netstack/plan/address_plan.h"

namespace nh {

enum class Reach : std::uint8_t {
  outside,            ///< an ordinary address: carry it
  gateway_service,    ///< answered by libslirp itself: DHCP, echo to the gateway, NDP, echo to DNS
  host_loopback,      ///< the gateway address, allowed to mean the host's loopback
  dns,                ///< port 53 of the DNS address
  refuse_loopback,    ///< the host's loopback in any form, not allowed
  refuse_link_local,  ///< 169.254.0.0/16 or fe80::/10 beyond the link
  refuse_virtual,     ///< an address or port of the virtual network without a service
  ignore              ///< multicast and broadcast without a service: dropped without an answer
};

struct ReachRules {
  bool allow_host_loopback = false;
  bool allow_link_local = false;
  bool dns = true;
};

class Reachability {
 public:
  Reachability(const AddressPlan& plan, const ReachRules& rules) : plan_(plan), rules_(rules) {}
  /// For an IPv4 or IPv6 packet of the guest. TCP and UDP are judged by address and port, ICMP by
  /// address.
  Reach judge(const Packet& packet) const;
  Reach judge(std::uint8_t protocol, const Address& destination, std::uint16_t port) const;
  /// True for every refuse_*.
  static bool refused(Reach reach);

 private:
  Reach judge_v4(std::uint8_t protocol, const Address& destination, std::uint16_t port) const;
  Reach judge_v6(std::uint8_t protocol, const Address& destination, std::uint16_t port) const;
  Reach judge_gateway(std::uint8_t protocol) const;

  AddressPlan plan_;
  ReachRules rules_;
};

}  // namespace nh
