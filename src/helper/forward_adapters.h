// SPDX-License-Identifier: BSD-3-Clause
// The paths of forward_paths.h over the parts that carry: libslirp, UdpForward and UdpReverse.
#pragma once

#include <unordered_map>

#include "netstack/relay/udp_reverse.h"
#include "src/helper/forward_paths.h"

namespace nh {

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
  /// Both must outlive this; `plan` tells which goals are the guest itself.
  UdpPath(UdpForward& forward, UdpReverse& reverse, const AddressPlan& plan)
      : forward_(forward), reverse_(reverse), plan_(plan) {}
  Result<Endpoint> add(std::uint64_t number, std::uint64_t rule, const Endpoint& at, const std::string& interface,
                       const Goal& goal) override;
  Result<> add_reverse(std::uint64_t number, std::uint64_t rule, UniqueFd guest_socket, const Goal& goal) override;
  Result<> change(std::uint64_t number, std::uint64_t rule, const Goal& goal) override;
  void remove(std::uint64_t number) override;
  RuleCounters of_listener(std::uint64_t number) const override;
  std::vector<FlowRecord> flows(const Rules::FlowQuery& query) const override;
  bool kill(std::uint64_t flow) override;

 private:
  struct Entry {
    Goal goal;
    Endpoint bound = {};
  };
  ForwardSpec spec_of(const Endpoint& at, const Goal& goal) const;

  UdpForward& forward_;
  UdpReverse& reverse_;
  AddressPlan plan_;
  std::unordered_map<std::uint64_t, Entry> entries_;  ///< by listener; those of UdpForward
};

}  // namespace nh
