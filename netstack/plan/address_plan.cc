// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/plan/address_plan.h"

#include <algorithm>
#include <string>

namespace nh {
namespace {

constexpr std::uint32_t gateway_offset = 2, dns_offset = 3, dhcp_offset = 15, guest_v4_offset = 100, guest_v6_offset = 0x100;
constexpr unsigned v4_prefix_max = 25, v6_prefix = 64;

Error invalid(std::string field, const std::string& rule, const std::string& value) {
  std::string what = field + " must be " + rule + ", not " + value;
  return Error{.code = Code::invalid, .what = std::move(what), .field = std::move(field)};
}

AddressPlan::Net lay_out(const Cidr& network, std::uint32_t guest_offset) {
  return {network, network.host(gateway_offset), network.host(dns_offset), network.host(guest_offset)};
}

bool is_ordinary_v4(const Address& address) {
  const std::uint32_t first = address.v4_value() >> 24;
  return first != 0 && first < 224 && !address.is_loopback() && !address.is_link_local();
}

Address link_local(std::uint8_t last) {
  return Address::from_bytes(std::array<std::uint8_t, 16>{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last});
}

}  // namespace

Result<AddressPlan> AddressPlan::make(const Cidr& cidr, const std::optional<Cidr>& cidr6, unsigned mtu) {
  if (cidr.family() != Family::v4 || cidr.prefix() < 1 || cidr.prefix() > v4_prefix_max)
    return invalid("cidr", "an IPv4 network with a prefix of 1 to 25 bits", cidr.text());
  if (!is_ordinary_v4(cidr.network()))
    return invalid("cidr",
                   "a network of ordinary addresses (not 0.0.0.0/8, loopback, link-local, "
                   "multicast or reserved)",
                   cidr.text());
  if (cidr6) {
    if (cidr6->family() != Family::v6 || cidr6->prefix() != v6_prefix)
      return invalid("cidr6",
                     "an IPv6 network with a prefix of 64 bits (address autoconfiguration works "
                     "with no other)",
                     cidr6->text());
    const Address& network = cidr6->network();
    if (network.is_unspecified() || network.is_link_local() || network.is_multicast())
      return invalid("cidr6", "a network of ordinary addresses (not ::/64, link-local or multicast)", cidr6->text());
  }
  if (mtu < mtu_min || mtu > mtu_max) return invalid("mtu", "68 to 65521", std::to_string(mtu));

  AddressPlan plan{
      .v4 = lay_out(cidr, guest_v4_offset), .dhcp_start = cidr.host(dhcp_offset), .v6 = std::nullopt, .mtu = mtu};
  if (cidr6 && mtu >= mtu_min_v6) plan.v6 = lay_out(*cidr6, guest_v6_offset);
  return plan;
}

bool AddressPlan::is_ours(const Address& address) const {
  if (address.is_v4()) return address == v4.gateway || address == v4.dns;
  if (!v6) return false;
  return address == v6->gateway || address == v6->dns || address == gateway_link_local() ||
         address == link_local(dns_offset);
}

const AddressPlan::Net* AddressPlan::net(Family family) const {
  if (family == Family::v4) return &v4;
  return v6 ? &*v6 : nullptr;
}

MacAddress AddressPlan::gateway_mac(const Address& address) {
  MacAddress mac;
  mac.bytes = {0x52, static_cast<std::uint8_t>(address.is_v4() ? 0x55 : 0x56), 0, 0, 0, 0};
  const Bytes last = address.bytes().last(4);
  std::copy(last.begin(), last.end(), mac.bytes.begin() + 2);
  return mac;
}

Address AddressPlan::gateway_link_local() {
  return link_local(gateway_offset);
}

}  // namespace nh
