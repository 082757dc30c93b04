// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/slirp/slirp_forward.h"

#include "netstack/relay/bind_error.h"

namespace nh {

Result<Endpoint> SlirpForward::open(const Endpoint& host, const Destination& destination) {
  auto bound = slirp_.add_forward(host, destination.endpoint(host.address.family()));
  if (bound || bound.error().sys_errno == 0) return bound;
  return bind_error(bound.error().sys_errno, Transport::tcp, host);
}

Result<Endpoint> SlirpForward::add(std::uint64_t number, std::uint64_t, ListenOn on, const Destination& destination) {
  const ListenAt* const at = std::get_if<ListenAt>(&on);
  NH_BUG_IF(at == nullptr || listeners_.contains(number));
  NH_LET(bound, open(at->endpoint, destination));
  Listener made{.bound = bound, .v4_half = std::nullopt, .destination = destination};
  if (bound.address == Address::any(Family::v6) && at->wildcard == Wildcard::dual) {
    auto v4_half = open({Address::any(Family::v4), bound.port}, destination);
    if (!v4_half) {
      slirp_.remove_forward(bound);
      return v4_half;
    }
    made.v4_half = *v4_half;
  }
  listeners_.emplace(number, std::move(made));
  return bound;
}

Result<> SlirpForward::change(std::uint64_t number, std::uint64_t, const Destination& destination) {
  const auto found = listeners_.find(number);
  if (found == listeners_.end() || found->second.destination == destination) return Ok{};
  return Error{
      .code = Code::unsupported, .what = "a listener of libslirp's leads to one destination only", .field = "guest_addr"};
}

void SlirpForward::remove(std::uint64_t number) {
  const auto found = listeners_.find(number);
  if (found == listeners_.end()) return;
  slirp_.remove_forward(found->second.bound);
  if (found->second.v4_half) slirp_.remove_forward(*found->second.v4_half);
  listeners_.erase(found);
}

}  // namespace nh
