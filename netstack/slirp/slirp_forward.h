// SPDX-License-Identifier: BSD-3-Clause
// SlirpForward: TCP forwards by libslirp, which opens their sockets by itself and tells of no flow.
//
// A socket of libslirp's at [::] takes IPv6 clients alone, so that a listener there that takes both families has a second one at
// 0.0.0.0. Where a socket leads is fixed, and an IPv4 one leads to an IPv4 address only, as an IPv6 one does to IPv6.
#pragma once

#include <optional>
#include <unordered_map>

#include "netstack/relay/carrier.h"
#include "netstack/slirp/slirp_stack.h"

namespace nh {

class SlirpForward final : public Carrier {
 public:
  /// `slirp` must outlive it.
  explicit SlirpForward(SlirpStack& slirp) : slirp_(slirp) {}

  /// With port 0 the kernel chooses one; dual: at [::] the destination must have an IPv4 address too. Errors: those of bind_error;
  /// unsupported: the destination is of the other family.
  Result<Endpoint> add(std::uint64_t number, std::uint64_t rule, ListenOn on, const Destination& destination) override;
  /// unsupported: the destination is another one.
  Result<> change(std::uint64_t number, std::uint64_t rule, const Destination& destination) override;
  void remove(std::uint64_t number) override;

  FlowCounters of_rule(std::uint64_t) const override { return {}; }
  void forget_rule(std::uint64_t) override {}
  std::vector<FlowRecord> flows(const FlowQuery&) const override { return {}; }
  bool kill(std::uint64_t) override { return false; }

 private:
  struct Listener {
    Endpoint bound;
    std::optional<Endpoint> v4_half;
    Destination destination;
  };
  Result<Endpoint> open(const Endpoint& host, const Destination& destination);

  SlirpStack& slirp_;
  std::unordered_map<std::uint64_t, Listener> listeners_;
};

}  // namespace nh
