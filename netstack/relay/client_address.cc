// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/client_address.h"

namespace nh {

Endpoint as_seen_by_guest(const Endpoint& client, Family guest, const AddressPlan& plan,
                          const std::unordered_set<Address>& guest_addresses) {
  const AddressPlan::Net* net = plan.net(guest);
  NH_BUG_IF(net == nullptr);
  const Address& address = client.address;
  const bool means_another = address.family() != guest || address.is_loopback() || address.is_unspecified() ||
                             address.is_multicast() || address.is_broadcast() || address.is_link_local() ||
                             net->network.contains(address) || plan.is_ours(address) || guest_addresses.contains(address);
  if (!means_another) return client;
  constexpr std::uint16_t first_user_port = 1024;
  return {net->gateway, client.port < first_user_port ? std::uint16_t{0} : client.port};
}

}  // namespace nh
