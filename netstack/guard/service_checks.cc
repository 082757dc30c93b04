// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/guard/service_checks.h"

#include "netstack/frame/wire.h"

namespace nh {
namespace {

constexpr std::uint16_t tftp_port = 69, dhcp_server_port = 67, dhcpv6_server_port = 547;

// BOOTP (RFC 951): 236 bytes of fixed part; DHCP options follow a cookie (RFC 2131 3). A BOOTP
// request without options still has a vendor field, 64 bytes of anything.
std::optional<DropReason> check_dhcp(Bytes message) {
  constexpr std::size_t fixed_part = 236, cookie_size = 4;
  constexpr std::uint32_t cookie = 0x63825363;
  constexpr std::uint8_t boot_request = 1, hardware_address_max = 16, option_pad = 0, option_end = 255;
  if (message.size() < fixed_part + cookie_size || message[0] != boot_request || message[2] > hardware_address_max)
    return DropReason::dhcp_malformed;
  if (wire::load32(message, fixed_part) != cookie) return {};
  for (Bytes options = message.subspan(fixed_part + cookie_size); !options.empty() && options[0] != option_end;) {
    if (options[0] == option_pad) {
      options = options.subspan(1);
      continue;
    }
    if (options.size() < 2 || options.size() < std::size_t{2} + options[1]) return DropReason::dhcp_malformed;
    options = options.subspan(std::size_t{2} + options[1]);
  }
  return {};
}

// DHCPv6 (RFC 8415 8, 21.1): type and transaction id, then options of 16-bit code and length.
std::optional<DropReason> check_dhcpv6(Bytes message) {
  constexpr std::size_t fixed_part = 4, option_header = 4;
  if (message.size() < fixed_part) return DropReason::dhcp_malformed;
  for (Bytes options = message.subspan(fixed_part); !options.empty();) {
    if (options.size() < option_header) return DropReason::dhcp_malformed;
    const std::size_t size = option_header + wire::load16(options, 2);
    if (size > options.size()) return DropReason::dhcp_malformed;
    options = options.subspan(size);
  }
  return {};
}

}  // namespace

std::optional<DropReason> check_arp(const Packet& packet, const AddressPlan& plan, const SourceRule& sources) {
  constexpr std::size_t arp_size = 28;
  constexpr std::uint16_t ethernet = 1, request = 1, reply = 2;
  const Bytes arp = packet.frame.subspan(ethernet_header);
  if (arp.size() < arp_size || wire::load16(arp, 0) != ethernet || wire::load16(arp, 2) != ether_type::ipv4 || arp[4] != 6 ||
      arp[5] != 4)
    return DropReason::arp_malformed;
  const std::uint16_t operation = wire::load16(arp, 6);
  const bool group_sender = (arp[8] & 1) != 0;
  if ((operation != request && operation != reply) || group_sender) return DropReason::arp_malformed;
  const Address sender = Address::from_bytes(arp.subspan(14, 4));
  const Address target = Address::from_bytes(arp.subspan(24, 4));
  if (!sources.allows_arp_sender(sender)) return DropReason::arp_spoofed;
  const bool announcement = sender == target && !sender.is_unspecified();
  if (operation == request && !announcement && !plan.is_ours(target)) return DropReason::arp_spoofed;
  return {};
}

std::optional<DropReason> check_services(const Packet& packet, const AddressPlan& plan) {
  const Address& to = packet.destination;
  switch (packet.destination_port) {
    case tftp_port:
      return plan.is_ours(to) || to.is_broadcast() || to.is_multicast() ? std::optional(DropReason::tftp) : std::nullopt;
    case dhcp_server_port:
      return plan.is_ours(to) || to.is_broadcast() ? check_dhcp(packet.payload()) : std::nullopt;
    case dhcpv6_server_port:
      return to.is_multicast() ? check_dhcpv6(packet.payload()) : std::nullopt;
    default:
      return {};
  }
}

}  // namespace nh
