// SPDX-License-Identifier: BSD-3-Clause
#include "src/forward/forward_adapters.h"

#include <algorithm>

#include "netstack/relay/listener.h"

namespace nh {
namespace {

Result<> take_fd(FdBudget& fds) {
  if (fds.take_to_stay(1)) return Ok{};
  return Error{.code = Code::exhausted, .what = "no file descriptor is left for a listener"};
}

}  // namespace

Result<> TcpRelayPath::add(std::uint64_t number, std::uint64_t rule, UniqueFd listener, const Destination& destination) {
  return forward_.add(number, rule, std::move(listener), destination);
}

void TcpRelayPath::change(std::uint64_t number, std::uint64_t rule, const Destination& destination) {
  forward_.assign(number, rule, destination);
}

bool TcpRelayPath::paused(std::uint64_t) const {
  return forward_.paused();
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
                              const Destination& destination) {
  NH_TRY(take_fd(fds_));
  auto bound = add_counted(number, rule, at, interface, destination);
  if (!bound) fds_.give_what_stayed(1);
  return bound;
}

Result<Endpoint> UdpPath::add_counted(std::uint64_t number, std::uint64_t rule, const Endpoint& at,
                                      const std::string& interface, const Destination& destination) {
  auto opened = open_listener(Transport::udp, at, interface);
  // A rule of ours for 0.0.0.0 has that half already.
  if (!opened && opened.error().code == Code::in_use && at.address == Address::any(Family::v6) &&
      has({Address::any(Family::v4), at.port}))
    opened = open_listener(Transport::udp, at, interface, Wildcard::v6_only);
  if (!opened) return std::move(opened).error();
  NH_LET(socket, UdpSocket::adopt(std::move(opened->fd)));
  NH_LET(bound, forward_.add(number, rule, destination, std::move(socket)));
  forwards_.emplace(number, bound);
  return bound;
}

Result<> UdpPath::add_reverse(std::uint64_t number, std::uint64_t rule, UniqueFd guest_socket,
                              const Destination& destination) {
  NH_TRY(take_fd(fds_));
  auto added = reverse_.add(number, rule, std::move(guest_socket), destination.host_endpoint());
  if (!added) fds_.give_what_stayed(1);
  return added;
}

Result<> UdpPath::change(std::uint64_t number, std::uint64_t rule, const Destination& destination) {
  if (forwards_.contains(number)) return forward_.assign(number, rule, destination);
  reverse_.change(number, rule, destination.host_endpoint());
  return Ok{};
}

void UdpPath::remove(std::uint64_t number) {
  if (forwards_.erase(number) != 0)
    forward_.remove(number);
  else
    reverse_.remove(number);
  fds_.give_what_stayed(1);
}

FlowCounters UdpPath::of_listener(std::uint64_t number) const {
  if (forwards_.contains(number)) {
    const UdpForward::Counters counters = forward_.of(number);
    return {.flows = counters.flows,
            .flows_opened = counters.flows_opened,
            .flows_failed = counters.refused + counters.flows_failed,
            .bytes_to_guest = counters.bytes_to_guest,
            .bytes_to_host = counters.bytes_to_clients};
  }
  return reverse_.of(number);
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
