// SPDX-License-Identifier: BSD-3-Clause
// SourceRule: which IP source addresses the guest may use: the TAP's present addresses, which the
// guest may change at any time, and those that hosts use before they have one. Never an address of
// ours: answers to it would be ours, or the host's.
#pragma once

#include <cstdint>
#include <vector>

#include "netstack/frame/packet.h"
#include "netstack/plan/address_plan.h"

namespace nh {

class SourceRule {
 public:
  enum class Verdict : std::uint8_t { allowed, refused, unknown };

  explicit SourceRule(const AddressPlan& plan) : plan_(plan) {}

  /// Replaces the TAP's addresses. Addresses that no host may have (is_possible) are left out.
  void set(const std::vector<Address>& addresses);
  /// For an IPv4 or IPv6 packet. 0.0.0.0 is allowed for DHCP (RFC 2131 4.1), :: for neighbour and
  /// router solicitations (RFC 4862 5.4.2), fe80::/10 always: the kernel makes such addresses
  /// unasked.
  Verdict judge(const Packet& packet) const;
  /// The same for the sender of an ARP packet, where every address of the virtual network will do:
  /// there is no damage in the guest's naming of its own side.
  bool allows_arp_sender(const Address& sender) const;

 private:
  bool is_present(const Address& address) const;
  bool is_possible(const Address& address) const;

  AddressPlan plan_;
  bool known_ = false;
  std::vector<Address> present_;
};

}  // namespace nh
