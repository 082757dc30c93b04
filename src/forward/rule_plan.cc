// SPDX-License-Identifier: BSD-3-Clause
#include "src/forward/rule_plan.h"

#include <algorithm>
#include <cerrno>
#include <map>

namespace nh {
namespace {

std::vector<std::uint16_t> ports_of(const std::vector<PortRange>& ranges) {
  std::vector<std::uint16_t> ports;
  for (const PortRange& range : ranges)
    for (unsigned port = range.first; port <= range.last; ++port) ports.push_back(static_cast<std::uint16_t>(port));
  return ports;
}

bool contains(const std::vector<PortRange>& ranges, std::uint16_t port) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const PortRange& range) { return range.first <= port && port <= range.last; });
}

Address host_address(const RuleSpec& spec) {
  // All of the interface's addresses, of both families.
  if (!spec.host_interface.empty()) return Address::any(Family::v6);
  return spec.host_address.value_or(Address::loopback(Family::v4));
}

Result<> check_guest_address(const RuleSpec& spec, const Address& address, const AddressPlan& plan) {
  const AddressPlan::Net* const net = plan.net(address.family());
  if (net == nullptr)
    return Error{
        .code = Code::missing,
        .sys_errno = EAFNOSUPPORT,
        .what = "forwarding " + spec.text() + ": the guest has no IPv6; name an IPv4 guest address or start with IPv6",
        .field = "guest_addr"};
  if (plan.is_ours(address))
    return Error{.code = Code::invalid,
                 .sys_errno = EADDRNOTAVAIL,
                 .what = "forwarding " + spec.text() + ": " + address.text() +
                         " is no address that the guest's TAP can have; " + net->guest.text() + " is the one it was given",
                 .field = "guest_addr"};
  return Ok{};
}

// The guest itself, by the addresses that it was given or by its loopback.
Destination whole_guest(const PlanRules& rules, std::uint16_t port) {
  const bool loopback = rules.to_loopback;
  Destination destination;
  destination.port = port;
  destination.v4 = loopback ? Address::loopback(Family::v4) : rules.plan.v4.guest;
  if (rules.plan.v6) destination.v6 = loopback ? Address::loopback(Family::v6) : rules.plan.v6->guest;
  return destination;
}

Destination destination_at(const Address& address, std::uint16_t port) {
  Destination destination;
  destination.port = port;
  (address.is_v4() ? destination.v4 : destination.v6) = address;
  return destination;
}

std::vector<ListenerPlan> plan_reverse(const RuleSpec& spec) {
  std::vector<ListenerPlan> plans;
  const auto guest_ports = ports_of(spec.guest_ports), host_ports = ports_of(spec.host_ports);
  const Address at = spec.guest_address.value_or(Address::loopback(Family::v4));
  for (std::size_t i = 0; i < guest_ports.size(); ++i) {
    ListenerPlan plan{.side = ListenerPlan::Side::guest, .at = {at, guest_ports[i]}};
    if (spec.host_side == RuleSpec::HostSide::unix_path)
      plan.destination.host_path = spec.host_path;
    else
      plan.destination.host = Endpoint{spec.host_address.value_or(Address::loopback(Family::v4)), host_ports[i]};
    if (spec.tcp) plans.push_back(plan);
    plan.transport = Transport::udp;
    if (spec.udp) plans.push_back(std::move(plan));
  }
  return plans;
}

// A listener for every address, or nearly: the better one comes first.
int rank(const Address& address) {
  return address.is_unspecified() ? (address.is_v6() ? 0 : 1) : address.is_loopback() ? 3 : 2;
}

// Where an automatic rule leads for a listener of the guest; nullopt: it is not to be reached.
std::optional<Destination> destination_of(const GuestPort& port, const PlanRules& rules) {
  const Address& address = port.at.address;
  const AddressPlan& plan = rules.plan;
  if (address.is_unspecified()) {
    Destination destination = whole_guest(PlanRules{.plan = plan}, port.at.port);
    // [::] takes IPv4 clients too, 0.0.0.0 no IPv6 ones.
    if (address.is_v4()) destination.v6.reset();
    return destination;
  }
  if (address.is_loopback()
          ? !rules.to_loopback
          : plan.is_ours(address) || address.is_multicast() || address.is_broadcast() || address.is_link_local())
    return std::nullopt;
  if (plan.net(address.family()) == nullptr) return std::nullopt;
  return destination_at(address, port.at.port);
}

}  // namespace

std::string ListenerPlan::place() const {
  return std::string(transport_name(transport)) + " " + std::to_string(static_cast<int>(side)) + " " + at.text() + " " +
         interface + " " + name;
}

Result<std::vector<ListenerPlan>> plan_listeners(const RuleSpec& spec, const PlanRules& rules) {
  if (spec.kind == RuleSpec::Kind::reverse) return plan_reverse(spec);
  if (spec.guest_address) NH_TRY(check_guest_address(spec, *spec.guest_address, rules.plan));
  const auto destination = [&](std::uint16_t port) {
    return spec.guest_address ? destination_at(*spec.guest_address, port) : whole_guest(rules, port);
  };
  std::vector<ListenerPlan> plans;
  const auto guest_ports = ports_of(spec.guest_ports);
  if (spec.host_side != RuleSpec::HostSide::ports) {
    const bool path = spec.host_side == RuleSpec::HostSide::unix_path;
    plans.push_back({.side = path ? ListenerPlan::Side::host_unix : ListenerPlan::Side::host_inherited,
                     .name = path ? spec.host_path : spec.host_name,
                     .destination = destination(guest_ports.front())});
    return plans;
  }
  const auto host_ports = ports_of(spec.host_ports);
  for (std::size_t i = 0; i < host_ports.size(); ++i) {
    ListenerPlan plan{.at = {host_address(spec), host_ports[i]},
                      .interface = spec.host_interface,
                      .destination = destination(guest_ports[i])};
    if (spec.tcp) plans.push_back(plan);
    plan.transport = Transport::udp;
    plan.same_port = spec.tcp && host_ports[i] == 0;
    if (spec.udp) plans.push_back(std::move(plan));
  }
  return plans;
}

std::vector<ListenerPlan> plan_automatic(const RuleSpec& spec, const PlanRules& rules, const std::vector<GuestPort>& ports,
                                         const PortSet& taken) {
  std::map<std::pair<Transport, std::uint16_t>, const GuestPort*> chosen;
  for (const GuestPort& port : ports) {
    const bool wanted = port.transport == Transport::tcp ? spec.tcp : spec.udp;
    const std::pair key{port.transport, port.at.port};
    if (!wanted || !contains(spec.host_ports, port.at.port) || contains(spec.excluded, port.at.port) ||
        taken.contains(key) || !destination_of(port, rules))
      continue;
    const GuestPort*& best = chosen[key];
    if (best == nullptr || rank(port.at.address) < rank(best->at.address)) best = &port;
  }
  std::vector<ListenerPlan> plans;
  for (const auto& [key, port] : chosen)
    plans.push_back({.transport = key.first,
                     .at = {host_address(spec), key.second},
                     .interface = spec.host_interface,
                     .destination = *destination_of(*port, rules)});
  return plans;
}

}  // namespace nh
