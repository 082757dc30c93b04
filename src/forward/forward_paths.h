// SPDX-License-Identifier: BSD-3-Clause
// What carries the clients of a rule: the three paths as the rules see them. A listener has a number of
// its own (from 1, never used again), by which its path knows it; a rule may have thousands.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "netstack/relay/destination.h"
#include "netstack/relay/flow.h"
#include "netstack/slirp/slirp_stack.h"
#include "netstack/udp/udp_forward.h"
#include "src/base/unique_fd.h"
#include "src/control/rules.h"

namespace nh {

/// TCP by relays, to the guest or, for reverse rules, to the host.
class RelayPath {
 public:
  virtual ~RelayPath() = default;
  /// Accepts from now on. `listener` is a listening TCP or Unix stream socket.
  virtual Result<> add(std::uint64_t number, std::uint64_t rule, UniqueFd listener, const Destination& destination) = 0;
  /// For clients to come; established flows stay as they are.
  virtual void change(std::uint64_t number, std::uint64_t rule, const Destination& destination) = 0;
  /// Closes the listener; established flows live on.
  virtual void remove(std::uint64_t number) = 0;
  virtual bool paused(std::uint64_t number) const = 0;
  virtual FlowCounters of_rule(std::uint64_t rule) const = 0;
  /// The rule is no more: its counters are not asked for again.
  virtual void forget_rule(std::uint64_t rule) = 0;
  virtual std::vector<FlowRecord> flows(const Rules::FlowQuery& query) const = 0;
  virtual bool kill(std::uint64_t flow) = 0;
};

/// UDP: host clients to the guest, or (reverse) guest clients to the host.
class DatagramPath {
 public:
  virtual ~DatagramPath() = default;
  /// Binds on the host; gives the bound endpoint. Errors are open_listener()'s.
  virtual Result<Endpoint> add(std::uint64_t number, std::uint64_t rule, const Endpoint& at, const std::string& interface,
                               const Destination& destination) = 0;
  /// `guest_socket` is bound in the guest's namespace.
  virtual Result<> add_reverse(std::uint64_t number, std::uint64_t rule, UniqueFd guest_socket,
                               const Destination& destination) = 0;
  /// Keeps the socket, and the flows where it can.
  virtual Result<> change(std::uint64_t number, std::uint64_t rule, const Destination& destination) = 0;
  virtual void remove(std::uint64_t number) = 0;
  virtual FlowCounters of_listener(std::uint64_t number) const = 0;
  virtual std::vector<FlowRecord> flows(const Rules::FlowQuery& query) const = 0;
  virtual bool kill(std::uint64_t flow) = 0;
};

/// TCP by libslirp.
class GeneralPath {
 public:
  virtual ~GeneralPath() = default;
  virtual Result<Endpoint> add(const Endpoint& host, const Endpoint& guest) = 0;
  /// `host` as add() gave it.
  virtual void remove(const Endpoint& host) = 0;
};

}  // namespace nh
