// SPDX-License-Identifier: BSD-3-Clause
// Which address a forward's client has inside the guest: its own wherever that can work.
#pragma once

#include <unordered_set>

#include "netstack/plan/address_plan.h"

namespace nh {

/// The client's own endpoint; or the gateway's address with the client's port, where its address
/// would mean something else to the guest: loopback, link-local, multicast, unspecified, of the
/// virtual network, the guest's own, or of the other family. At the gateway a port below 1024
/// becomes 0, "any": those are libslirp's services. The plan has the guest's family.
Endpoint as_seen_by_guest(const Endpoint& client, Family guest, const AddressPlan& plan,
                          const std::unordered_set<Address>& guest_addresses);

}  // namespace nh
