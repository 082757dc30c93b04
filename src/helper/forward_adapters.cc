// SPDX-License-Identifier: BSD-3-Clause
#include "src/helper/forward_adapters.h"

namespace nh {

ForwardSpec UdpPath::spec_of(const Endpoint& at, const Goal& goal) const {
  const bool guest_itself = goal.v4 == plan_.v4.guest && (!plan_.v6 || goal.v6 == plan_.v6->guest);
  return ForwardSpec{.transport = Transport::udp,
                     .host_address = at.address,
                     .host_port = at.port,
                     .guest_address = guest_itself ? std::nullopt : std::optional(goal.of(at.address.family()).address),
                     .guest_port = Port::from(goal.port).value()};
}

Result<Endpoint> UdpPath::add(std::uint64_t number, std::uint64_t, const Endpoint& at, const std::string& interface,
                              const Goal& goal) {
  if (!interface.empty())
    return Error{.code = Code::unsupported, .what = "UDP cannot listen on one interface", .field = "host_interface"};
  NH_LET(bound, forward_.add(number, spec_of(at, goal)));
  entries_[number] = Entry{.goal = goal, .bound = bound};
  return bound;
}

Result<> UdpPath::add_reverse(std::uint64_t number, std::uint64_t rule, UniqueFd guest_socket, const Goal& goal) {
  return reverse_.add(number, rule, std::move(guest_socket), goal.host.value_or(Endpoint()));
}

Result<> UdpPath::change(std::uint64_t number, std::uint64_t rule, const Goal& goal) {
  const auto found = entries_.find(number);
  if (found == entries_.end()) {
    reverse_.change(number, rule, goal.host.value_or(Endpoint()));
    return Ok{};
  }
  if (found->second.goal == goal) return Ok{};
  const Endpoint at = found->second.bound;
  forward_.remove(number);
  entries_.erase(found);
  NH_TRY(add(number, rule, at, {}, goal));
  return Ok{};
}

void UdpPath::remove(std::uint64_t number) {
  if (entries_.erase(number) != 0)
    forward_.remove(number);
  else
    reverse_.remove(number);
}

RuleCounters UdpPath::of_listener(std::uint64_t number) const {
  if (!entries_.contains(number)) {
    const UdpReverse::Counters counters = reverse_.of(number);
    return {.flows = counters.flows,
            .flows_opened = counters.flows_opened,
            .flows_failed = counters.flows_failed,
            .bytes_to_guest = counters.bytes_to_guest,
            .bytes_to_host = counters.bytes_to_host};
  }
  const UdpForward::Counters counters = forward_.of(number);
  return {.flows = counters.flows,
          .flows_opened = counters.flows_opened,
          .flows_failed = counters.refused,
          .bytes_to_guest = counters.bytes_to_guest,
          .bytes_to_host = counters.bytes_to_clients};
}

std::vector<FlowRecord> UdpPath::flows(const Rules::FlowQuery& query) const {
  return reverse_.list(query.after, query.limit, query.rule);
}

bool UdpPath::kill(std::uint64_t flow) {
  return reverse_.kill(flow);
}

}  // namespace nh
