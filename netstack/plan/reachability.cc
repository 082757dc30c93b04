// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/plan/reachability.h"

#include <algorithm>

namespace nh {
namespace {

constexpr std::uint16_t dns_port = 53, dhcp_server_port = 67, dhcpv6_server_port = 547;
constexpr std::uint32_t class_e = 240;

Address multicast(std::uint16_t middle, std::uint16_t last) {
  std::array<std::uint8_t, 16> raw{0xff, 0x02};
  raw[12] = static_cast<std::uint8_t>(middle >> 8);
  raw[13] = static_cast<std::uint8_t>(middle);
  raw[14] = static_cast<std::uint8_t>(last >> 8);
  raw[15] = static_cast<std::uint8_t>(last);
  return Address::from_bytes(raw);
}

// Groups that neighbour and router discovery use: all nodes, all routers, solicited nodes (RFC
// 4291 2.7.1).
bool is_discovery_group(const Address& group) {
  static const Address all_nodes = multicast(0, 1), all_routers = multicast(0, 2);
  if (group == all_nodes || group == all_routers) return true;
  constexpr std::array<std::uint8_t, 13> solicited{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};
  return std::equal(solicited.begin(), solicited.end(), group.bytes().begin());
}

bool is_dhcpv6_group(const Address& group) {
  static const Address all_dhcp = multicast(1, 2);  // ff02::1:2, RFC 8415 7.1
  return group == all_dhcp;
}

// ::/64 holds every spelling of the host's own addresses that is IPv6 text: ::, ::1, v4-mapped,
// v4-compatible and v4-translated. It is reserved whole (RFC 4291 2.4), so nothing is lost; NAT64's
// 64:ff9b::/96 is outside it.
bool is_reserved_v6(const Address& address) {
  const Bytes bytes = address.bytes();
  return std::all_of(bytes.begin(), bytes.begin() + 8, [](std::uint8_t byte) { return byte == 0; });
}

bool is_discovery(std::uint8_t type) {
  return type == icmpv6_type::router_solicitation || type == icmpv6_type::neighbour_solicitation ||
         type == icmpv6_type::neighbour_advertisement;
}

}  // namespace

Reach Reachability::judge(const Packet& packet) const {
  if (packet.protocol == protocol::icmpv6 && packet.is_icmp()) {
    // Discovery of addresses that are not ours has no receiver, and an echo to a link-local group must not reach the host's
    // link.
    const bool discovery = is_discovery(packet.icmp_type);
    if (packet.destination.is_multicast() && !discovery) return Reach::ignore;
    const Reach reach = judge(packet.protocol, packet.destination, 0);
    return discovery && reach != Reach::gateway_service ? Reach::ignore : reach;
  }
  return judge(packet.protocol, packet.destination, packet.destination_port);
}

Reach Reachability::judge(std::uint8_t protocol, const Address& destination, std::uint16_t port) const {
  return destination.is_v4() ? judge_v4(protocol, destination, port) : judge_v6(protocol, destination, port);
}

Reach Reachability::judge_gateway(std::uint8_t protocol) const {
  if (protocol == protocol::icmp || protocol == protocol::icmpv6) return Reach::gateway_service;
  return rules_.allow_host_loopback ? Reach::host_loopback : Reach::refuse_loopback;
}

Reach Reachability::judge_v4(std::uint8_t protocol, const Address& destination, std::uint16_t port) const {
  const bool icmp = protocol == protocol::icmp;
  const bool dhcp = protocol == protocol::udp && port == dhcp_server_port;
  const std::uint32_t first = destination.v4_value() >> 24;
  // libslirp treats 255.255.255.255 as the gateway address; an echo request to a broadcast address is ignored (RFC 1122
  // 3.2.2.6).
  if (destination.is_broadcast()) return dhcp ? Reach::gateway_service : icmp ? Reach::ignore : Reach::refuse_loopback;
  if (destination.is_loopback() || first == 0) return Reach::refuse_loopback;
  if (destination.is_multicast()) return Reach::ignore;
  if (first >= class_e) return Reach::refuse_virtual;  // an error at once is better than a timeout
  if (plan_.v4.network.contains(destination)) {
    if (destination == plan_.v4.gateway) return dhcp ? Reach::gateway_service : judge_gateway(protocol);
    if (destination == plan_.v4.dns) {
      if (icmp) return Reach::gateway_service;
      // Without DNS the address is an ordinary one, as with slirp4netns --disable-dns: queries to it time out.
      if (!rules_.dns) return Reach::outside;
      return port == dns_port ? Reach::dns : Reach::refuse_virtual;
    }
    if (destination == plan_.v4.network.last()) return icmp ? Reach::ignore : Reach::refuse_loopback;
    return Reach::refuse_virtual;
  }
  if (destination.is_link_local() && !rules_.allow_link_local) return Reach::refuse_link_local;
  return Reach::outside;
}

Reach Reachability::judge_v6(std::uint8_t protocol, const Address& destination, std::uint16_t port) const {
  const bool icmp = protocol == protocol::icmpv6;
  if (destination.is_multicast()) {
    if (icmp && is_discovery_group(destination)) return Reach::gateway_service;
    if (protocol == protocol::udp && port == dhcpv6_server_port && is_dhcpv6_group(destination))
      return Reach::gateway_service;
    return Reach::ignore;
  }
  if (is_reserved_v6(destination)) return Reach::refuse_loopback;
  if (plan_.v6 && plan_.v6->network.contains(destination)) {
    if (destination == plan_.v6->gateway) return judge_gateway(protocol);
    if (destination == plan_.v6->dns) {
      if (icmp) return Reach::gateway_service;
      // Unlike IPv4, never outside: libslirp without DNS takes this address too for the host's ::1.
      return rules_.dns && port == dns_port ? Reach::dns : Reach::refuse_virtual;
    }
    return Reach::refuse_loopback;  // libslirp takes every other address of the prefix for the
                                    // host's ::1
  }
  // fe80::2 and fe80::3: libslirp answers echoes and discovery there, but has no service behind it.
  if (plan_.is_ours(destination)) return icmp ? Reach::gateway_service : Reach::refuse_virtual;
  if (destination.is_link_local() && !rules_.allow_link_local) return Reach::refuse_link_local;
  return Reach::outside;
}

bool Reachability::refused(Reach reach) {
  return reach == Reach::refuse_loopback || reach == Reach::refuse_link_local || reach == Reach::refuse_virtual;
}

}  // namespace nh
