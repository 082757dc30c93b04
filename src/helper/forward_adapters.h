// SPDX-License-Identifier: BSD-3-Clause
// The paths of forward_paths.h over the parts that carry: TcpForward and RelaySet, libslirp, UdpForward and UdpReverse.
#pragma once

#include <unordered_map>

#include "netstack/relay/tcp_forward.h"
#include "netstack/relay/udp_reverse.h"
#include "src/helper/forward_paths.h"

namespace nh {

class TcpRelayPath final : public RelayPath {
 public:
  /// Both must outlive this.
  TcpRelayPath(TcpForward& forward, RelaySet& relays) : forward_(forward), relays_(relays) {}
  Result<> add(std::uint64_t number, std::uint64_t rule, UniqueFd listener, const Goal& goal) override;
  void change(std::uint64_t number, std::uint64_t rule, const Goal& goal) override;
  void remove(std::uint64_t number) override { forward_.remove(number); }
  bool paused(std::uint64_t number) const override;
  RuleCounters of_rule(std::uint64_t rule) const override;
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
  explicit SlirpPath(SlirpStack& slirp) : slirp_(slirp) {}
  Result<Endpoint> add(const Endpoint& host, const Endpoint& guest) override { return slirp_.add_forward(host, guest); }
  void remove(const Endpoint& host) override { slirp_.remove_forward(host); }

 private:
  SlirpStack& slirp_;
};

class UdpPath final : public DatagramPath {
 public:
  /// Both must outlive this.
  UdpPath(UdpForward& forward, UdpReverse& reverse) : forward_(forward), reverse_(reverse) {}
  Result<Endpoint> add(std::uint64_t number, std::uint64_t rule, const Endpoint& at, const std::string& interface,
                       const Goal& goal) override;
  Result<> add_reverse(std::uint64_t number, std::uint64_t rule, UniqueFd guest_socket, const Goal& goal) override;
  Result<> change(std::uint64_t number, std::uint64_t rule, const Goal& goal) override;
  void remove(std::uint64_t number) override;
  RuleCounters of_listener(std::uint64_t number) const override;
  std::vector<FlowRecord> flows(const Rules::FlowQuery& query) const override;
  bool kill(std::uint64_t flow) override { return forward_.kill(flow) || reverse_.kill(flow); }

 private:
  bool has(const Endpoint& bound) const;

  UdpForward& forward_;
  UdpReverse& reverse_;
  std::unordered_map<std::uint64_t, Endpoint> forwards_;  ///< the listeners of UdpForward and where they are bound
};

}  // namespace nh
