// SPDX-License-Identifier: BSD-3-Clause
// SourceRule: the IP source addresses that the guest may use: the TAP's addresses, which the guest may change at any time, and
// those of hosts that have none yet. Never an address of ours (the gateway's, DNS).
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

  /// Replaces the TAP's addresses. Addresses that no host may have are left out.
  void set(const std::vector<Address>& addresses);
  /// For an IPv4 or IPv6 packet. 0.0.0.0 is allowed for DHCP (RFC 2131 4.1), :: for neighbour and router solicitations (RFC
  /// 4862 5.4.2), fe80::/10 always, because the kernel adds such addresses by itself.
  Verdict judge(const Packet& packet) const;
  /// For the sender of an ARP packet: every address of the virtual network that is not ours. It concerns the guest only.
  bool allows_arp_sender(const Address& sender) const;

 private:
  bool is_present(const Address& address) const;
  bool is_possible(const Address& address) const;

  AddressPlan plan_;
  bool known_ = false;
  std::vector<Address> present_;
};

}  // namespace nh
