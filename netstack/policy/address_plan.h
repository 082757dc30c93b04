// SPDX-License-Identifier: BSD-3-Clause
// AddressPlan: the addresses of the virtual network, as slirp4netns lays them out.
//
// IPv4, offsets from the network: gateway +2, DNS +3, DHCP pool from +15 (16 addresses), guest +100. IPv6, from the
// prefix: gateway ::2, DNS ::3, guest ::100 (hexadecimal); the gateway's link-local address is fe80::2. libslirp gives its frames the
// source MAC 52:55 + the IPv4 address, or 52:56 + the last four bytes of the IPv6 address (libslirp ip6_input.c, slirp.c).
#pragma once

#include <optional>

#include "src/base/address.h"

namespace nh {

struct AddressPlan {
  /// What one family has.
  struct Net {
    Cidr network;
    Address gateway, dns, guest;
  };

  Net v4;
  Address dhcp_start;
  std::optional<Net> v6;  ///< nullopt: IPv6 is off
  unsigned mtu = 1500;

  /// IPv4 prefix 1..25 (the guest is at +100), IPv6 prefix 1..126... see the rules in the message. Errors name `cidr` or `cidr6`.
  static Result<AddressPlan> make(const Cidr& cidr, const std::optional<Cidr>& cidr6, unsigned mtu);

  /// True for the gateway and DNS addresses of either family and fe80::2: addresses that are ours.
  bool is_ours(const Address& address) const;
  /// The plan's network of a family, or nullptr when the family is off.
  const Net* net(Family family) const;
  /// Where frames that we make come from: the MAC libslirp uses for this address.
  static MacAddress gateway_mac(const Address& address);
  static Address gateway_link_local();  ///< fe80::2
};

}  // namespace nh
