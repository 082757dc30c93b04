// SPDX-License-Identifier: BSD-3-Clause
// Which listeners a rule comes to: pure, so that two sets of rules can be compared before anything is opened.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "netstack/plan/address_plan.h"
#include "netstack/relay/destination.h"
#include "src/rules/rule_spec.h"

namespace nh {

/// One socket that a rule listens on, and where it leads.
struct ListenerPlan {
  enum class Side : std::uint8_t { host, host_unix, host_inherited, guest };

  Side side = Side::host;
  Transport transport = Transport::tcp;
  Endpoint at = {};            ///< host, guest: where it listens
  std::string interface = {};  ///< host: only packets that come by it
  std::string name = {};       ///< host_unix: the path; host_inherited: name or index
  bool same_port = false;      ///< of "both" with port 0: the port that the plan before this one got
  Destination destination = {};

  /// Two plans with one place are one socket.
  std::string place() const;
};

/// A port that programs in the guest listen on.
struct GuestPort {
  Transport transport = Transport::tcp;
  Endpoint at;
  friend auto operator<=>(const GuestPort&, const GuestPort&) = default;
};

/// Host ports by transport.
using PortSet = std::set<std::pair<Transport, std::uint16_t>>;

struct PlanRules {
  AddressPlan plan;
  bool to_loopback = false;  ///< rules without a guest address lead to the guest's loopback (--forward-to-loopback)
};

/// Of a forward or reverse rule. missing: no IPv6 in the guest; invalid: an address that no guest can have. `field` is guest_addr.
Result<std::vector<ListenerPlan>> plan_listeners(const RuleSpec& spec, const PlanRules& rules);

/// Of an automatic rule, while the guest listens on `ports`; without the host ports in `taken`. Where the guest has several
/// listeners on a port, one that takes every address is preferred, then one at an address of its own, then its loopback.
std::vector<ListenerPlan> plan_automatic(const RuleSpec& spec, const PlanRules& rules, const std::vector<GuestPort>& ports,
                                         const PortSet& taken);

}  // namespace nh
