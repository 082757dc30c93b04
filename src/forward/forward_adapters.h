// SPDX-License-Identifier: BSD-3-Clause
// The paths of forward_paths.h over the parts that carry: TcpForward and RelaySet, libslirp, UdpForward and UdpReverse. Each
// listener takes its descriptor from FdBudget: TcpForward does it itself, for the others it is done here. Error then:
// exhausted.
#pragma once

#include <unordered_map>

#include "netstack/tcp/tcp_forward.h"
#include "netstack/udp/udp_reverse.h"
#include "src/forward/forward_paths.h"

namespace nh {

class TcpRelayPath final : public RelayPath {
 public:
  /// Both must outlive this.
  TcpRelayPath(TcpForward& forward, RelaySet& relays) : forward_(forward), relays_(relays) {}
  Result<> add(std::uint64_t number, std::uint64_t rule, UniqueFd listener, const Destination& destination) override;
  void change(std::uint64_t number, std::uint64_t rule, const Destination& destination) override;
  void remove(std::uint64_t number) override { forward_.remove(number); }
  bool paused(std::uint64_t number) const override;
  FlowCounters of_rule(std::uint64_t rule) const override { return relays_.of(rule); }
  void forget_rule(std::uint64_t rule) override { relays_.forget_rule(rule); }
  std::vector<FlowRecord> flows(const Rules::FlowQuery& query) const override {
    return relays_.list(query.after, query.limit, query.rule);
  }
  bool kill(std::uint64_t flow) override { return relays_.kill(flow); }

 private:
  TcpForward& forward_;
  RelaySet& relays_;
};

class SlirpPath final : public GeneralPath {
 public:
  /// Both must outlive this.
  SlirpPath(SlirpStack& slirp, FdBudget& fds) : slirp_(slirp), fds_(fds) {}
  Result<Endpoint> add(const Endpoint& host, const Endpoint& guest) override;
  void remove(const Endpoint& host) override;

 private:
  SlirpStack& slirp_;
  FdBudget& fds_;
};

class UdpPath final : public DatagramPath {
 public:
  /// All must outlive this.
  UdpPath(UdpForward& forward, UdpReverse& reverse, FdBudget& fds) : forward_(forward), reverse_(reverse), fds_(fds) {}
  Result<Endpoint> add(std::uint64_t number, std::uint64_t rule, const Endpoint& at, const std::string& interface,
                       const Destination& destination) override;
  Result<> add_reverse(std::uint64_t number, std::uint64_t rule, UniqueFd guest_socket,
                       const Destination& destination) override;
  Result<> change(std::uint64_t number, std::uint64_t rule, const Destination& destination) override;
  void remove(std::uint64_t number) override;
  FlowCounters of_listener(std::uint64_t number) const override;
  std::vector<FlowRecord> flows(const Rules::FlowQuery& query) const override;
  bool kill(std::uint64_t flow) override { return forward_.kill(flow) || reverse_.kill(flow); }

 private:
  bool has(const Endpoint& bound) const;
  Result<Endpoint> add_counted(std::uint64_t number, std::uint64_t rule, const Endpoint& at, const std::string& interface,
                               const Destination& destination);

  UdpForward& forward_;
  UdpReverse& reverse_;
  FdBudget& fds_;
  std::unordered_map<std::uint64_t, Endpoint> forwards_;  ///< the listeners of UdpForward and where they are bound
};

}  // namespace nh
