// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/guard/source_rule.h"

#include <algorithm>

namespace nh {
namespace {

constexpr std::uint16_t bootpc = 68, bootps = 67;  // ports of a DHCP client and server (RFC 2131, IANA's names)

bool may_be_unspecified(const Packet& packet) {
  if (packet.source.is_v4()) return packet.is_udp() && packet.source_port == bootpc && packet.destination_port == bootps;
  return packet.protocol == protocol::icmpv6 && !packet.fragment &&
         (packet.icmp_type == icmpv6_type::neighbour_solicitation || packet.icmp_type == icmpv6_type::router_solicitation);
}

}  // namespace

void SourceRule::set(const std::vector<Address>& addresses) {
  known_ = true;
  present_.clear();
  std::copy_if(addresses.begin(), addresses.end(), std::back_inserter(present_),
               [this](const Address& a) { return is_possible(a); });
}

SourceRule::Verdict SourceRule::judge(const Packet& packet) const {
  const Address& source = packet.source;
  if (is_present(source)) return Verdict::allowed;
  if (source.is_unspecified()) return may_be_unspecified(packet) ? Verdict::allowed : Verdict::refused;
  if (!is_possible(source)) return Verdict::refused;
  if (source.is_v6() && source.is_link_local()) return Verdict::allowed;
  if (known_) return Verdict::unknown;
  const AddressPlan::Net* net = plan_.net(source.family());
  return net != nullptr && net->network.contains(source) ? Verdict::allowed : Verdict::refused;
}

bool SourceRule::allows_arp_sender(const Address& sender) const {
  return sender.is_unspecified() || is_present(sender) || (plan_.v4.network.contains(sender) && is_possible(sender));
}

bool SourceRule::is_present(const Address& address) const {
  return std::find(present_.begin(), present_.end(), address) != present_.end();
}

bool SourceRule::is_possible(const Address& address) const {
  if (address.is_unspecified() || address.is_loopback() || address.is_multicast() || plan_.is_ours(address)) return false;
  if (address.is_v6()) return !address.is_v4_mapped() && !address.is_v4_compatible();
  const std::uint32_t first = address.v4_value() >> 24;
  constexpr std::uint32_t class_e = 240;
  return first != 0 && first < class_e && address != plan_.v4.network.network() && address != plan_.v4.network.last();
}

}  // namespace nh
