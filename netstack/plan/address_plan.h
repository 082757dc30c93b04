// SPDX-License-Identifier: BSD-3-Clause
// AddressPlan: the addresses of the virtual network, as slirp4netns lays them out.
//
// IPv4, offsets from the network: gateway +2, DNS +3, DHCP pool from +15 (16 addresses), guest
// +100. IPv6, from the prefix: gateway ::2, DNS ::3, guest ::100 (hexadecimal); the gateway's
// link-local address is fe80::2. libslirp gives its frames the source MAC 52:55 + the IPv4 address,
// or 52:56 + the last four bytes of the IPv6 address (libslirp ip6_input.c, slirp.c).
#pragma once

#include <optional>

#include "src/base/address.h"

namespace nh {

struct AddressPlan {
  /// The addresses of one family.
  struct Net {
    Cidr network;
    Address gateway, dns, guest;
  };

  Net v4;
  Address dhcp_start;
  std::optional<Net> v6;  ///< nullopt: IPv6 is off
  unsigned mtu = 1500;

  /// The plan for these networks. Errors are Code::invalid and name the field:
  ///   cidr   IPv4, prefix 1..25 (the guest is at +100), not in 0/8, loopback, link-local, multicast or class E
  ///   cidr6  IPv6, prefix 64 exactly, not ::/64 (loopback, v4-mapped), link-local or multicast. libslirp announces the prefix
  ///          by router advertisements, and SLAAC works with no other length (RFC 4862 5.5.3, RFC 4291 2.5.1).
  ///   mtu    68..65521, libslirp's bounds (slirp_new). Below 1280 (RFC 8200 5) there is no IPv6: v6 is nullopt though cidr6
  ///          was given; the caller warns the user.
  static Result<AddressPlan> make(const Cidr& cidr, const std::optional<Cidr>& cidr6, unsigned mtu);

  static constexpr unsigned mtu_min = 68, mtu_max = 65521, mtu_min_v6 = 1280;

  /// True for the gateway and DNS addresses of either family and their link-local twins fe80::2 and
  /// fe80::3, which libslirp answers for as well (ip6.h in6_equal_host): addresses that are ours.
  bool is_ours(const Address& address) const;
  /// The plan's network of a family, or nullptr when the family is off.
  const Net* net(Family family) const;
  /// The source MAC of our frames from this address: the one that libslirp uses for it.
  static MacAddress gateway_mac(const Address& address);
  static Address gateway_link_local();  ///< fe80::2
};

}  // namespace nh
