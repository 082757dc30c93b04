// SPDX-License-Identifier: BSD-3-Clause
#include "src/forward/forward_adapters.h"

#include <algorithm>

#include "netstack/relay/listener.h"

namespace nh {
namespace {

GuestGoal guest_goal(const Goal& goal) {
  return {.v4 = goal.v4, .v6 = goal.v6, .port = goal.port};
}

TcpGoal tcp_goal(const Goal& goal) {
  if (goal.in_guest()) return guest_goal(goal);
  return HostGoal{.at = goal.host.value_or(Endpoint()), .path = goal.host_path};
}

Result<> take_fd(FdBudget& fds) {
  if (fds.take_to_stay(1)) return Ok{};
  return Error{.code = Code::exhausted, .what = "no file descriptor is left for a listener"};
}

}  // namespace

Result<> TcpRelayPath::add(std::uint64_t number, std::uint64_t rule, UniqueFd listener, const Goal& goal) {
  return forward_.add(number, rule, std::move(listener), tcp_goal(goal));
}

void TcpRelayPath::change(std::uint64_t number, std::uint64_t rule, const Goal& goal) {
  forward_.assign(number, rule, tcp_goal(goal));
}

bool TcpRelayPath::paused(std::uint64_t) const {
  return forward_.paused();
}

RuleCounters TcpRelayPath::of_rule(std::uint64_t rule) const {
  const RelayCounters counters = relays_.of(rule);
  return {.flows = counters.flows,
          .flows_opened = counters.flows_opened,
          .flows_failed = counters.flows_failed,
          .bytes_to_guest = counters.bytes_to_guest,
          .bytes_to_host = counters.bytes_to_host};
}

Result<Endpoint> SlirpPath::add(const Endpoint& host, const Endpoint& guest) {
  NH_TRY(take_fd(fds_));
  auto bound = slirp_.add_forward(host, guest);
  if (!bound) fds_.give_what_stayed(1);
  return bound;
}

void SlirpPath::remove(const Endpoint& host) {
  slirp_.remove_forward(host);
  fds_.give_what_stayed(1);
}

bool UdpPath::has(const Endpoint& bound) const {
  return std::any_of(forwards_.begin(), forwards_.end(), [&](const auto& one) { return one.second == bound; });
}

Result<Endpoint> UdpPath::add(std::uint64_t number, std::uint64_t rule, const Endpoint& at, const std::string& interface,
                              const Goal& goal) {
  NH_TRY(take_fd(fds_));
  auto bound = add_counted(number, rule, at, interface, goal);
  if (!bound) fds_.give_what_stayed(1);
  return bound;
}

Result<Endpoint> UdpPath::add_counted(std::uint64_t number, std::uint64_t rule, const Endpoint& at,
                                      const std::string& interface, const Goal& goal) {
  auto opened = open_listener(Transport::udp, at, interface);
  // A rule of ours for 0.0.0.0 has that half already.
  if (!opened && opened.error().code == Code::in_use && at.address == Address::any(Family::v6) &&
      has({Address::any(Family::v4), at.port}))
    opened = open_listener(Transport::udp, at, interface, Wildcard::v6_only);
  if (!opened) return std::move(opened).error();
  NH_LET(socket, UdpSocket::adopt(std::move(opened->fd)));
  NH_LET(bound, forward_.add(number, rule, guest_goal(goal), std::move(socket)));
  forwards_.emplace(number, bound);
  return bound;
}

Result<> UdpPath::add_reverse(std::uint64_t number, std::uint64_t rule, UniqueFd guest_socket, const Goal& goal) {
  NH_TRY(take_fd(fds_));
  auto added = reverse_.add(number, rule, std::move(guest_socket), goal.host.value_or(Endpoint()));
  if (!added) fds_.give_what_stayed(1);
  return added;
}

Result<> UdpPath::change(std::uint64_t number, std::uint64_t rule, const Goal& goal) {
  if (forwards_.contains(number)) return forward_.assign(number, rule, guest_goal(goal));
  reverse_.change(number, rule, goal.host.value_or(Endpoint()));
  return Ok{};
}

void UdpPath::remove(std::uint64_t number) {
  if (forwards_.erase(number) != 0)
    forward_.remove(number);
  else
    reverse_.remove(number);
  fds_.give_what_stayed(1);
}

RuleCounters UdpPath::of_listener(std::uint64_t number) const {
  if (forwards_.contains(number)) {
    const UdpForward::Counters counters = forward_.of(number);
    return {.flows = counters.flows,
            .flows_opened = counters.flows_opened,
            .flows_failed = counters.refused + counters.flows_failed,
            .bytes_to_guest = counters.bytes_to_guest,
            .bytes_to_host = counters.bytes_to_clients};
  }
  const UdpReverse::Counters counters = reverse_.of(number);
  return {.flows = counters.flows,
          .flows_opened = counters.flows_opened,
          .flows_failed = counters.flows_failed,
          .bytes_to_guest = counters.bytes_to_guest,
          .bytes_to_host = counters.bytes_to_host};
}

std::vector<FlowRecord> UdpPath::flows(const Rules::FlowQuery& query) const {
  std::vector<FlowRecord> all = forward_.list(query.after, query.limit, query.rule);
  const std::vector<FlowRecord> reverse = reverse_.list(query.after, query.limit, query.rule);
  all.insert(all.end(), reverse.begin(), reverse.end());
  std::sort(all.begin(), all.end(), [](const FlowRecord& a, const FlowRecord& b) { return a.id < b.id; });
  if (all.size() > query.limit) all.resize(query.limit);
  return all;
}

}  // namespace nh
