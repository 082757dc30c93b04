// SPDX-License-Identifier: BSD-3-Clause
// TcpForward: listening sockets whose clients become relays.
//
// Theory of operation. A client of a listener that leads to the guest gets a stand-in with the client's own address (client_address.h)
// that connects there; one of a listener that leads to the host ("reverse": the listener is a socket of the guest's namespace)
// gets a host socket. The client's connection is accepted before that is known, as by any relay; if the destination refuses, is
// unreachable or does not answer, the client is reset. Clients come in bursts and are taken so, a bounded number a turn.
//
// When no descriptor is left for a client, listeners pause: one that becomes readable is no longer watched, its clients wait in
// its queue, and nothing spins. They go on when the budget says so or, where the kernel itself had no descriptor or memory,
// the flows are too many or the stand-ins are not ready, after limits::relay_accept_pause.
//
// Ownership: owns the listeners; everything in TcpForwardSetup must outlive it, and all flows of its must end in `relays` before
// it dies or with it. Single-threaded; neither sleeps nor blocks.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "netstack/plan/address_plan.h"
#include "netstack/relay/carrier.h"
#include "netstack/relay/fd_budget.h"
#include "netstack/relay/kernel_path.h"
#include "netstack/relay/relay_set.h"
#include "netstack/relay/stand_ins.h"

namespace nh {

struct TcpForwardSetup {
  EpollSet* epoll;
  const Clock* clock;
  FdBudget* fds;
  RelaySet* relays;
  StandIns* stand_ins;
  const KernelPath* path;
  AddressPlan plan;
};

class TcpForward final : public Carrier, public Relay::Waiter, public FdBudget::Waiter {
 public:
  explicit TcpForward(const TcpForwardSetup& setup);
  ~TcpForward() override;
  TcpForward(const TcpForward&) = delete;
  TcpForward& operator=(const TcpForward&) = delete;

  /// The socket is TCP or Unix. A Unix client appears as the gateway. Errors: exhausted: no epoll watch is left; invalid: the guest
  /// has no address of that family.
  Result<Endpoint> add(std::uint64_t number, std::uint64_t rule, ListenOn on, const Destination& destination) override;
  Result<> change(std::uint64_t number, std::uint64_t rule, const Destination& destination) override;
  void remove(std::uint64_t number) override;
  /// No Unix socket can be made any longer (an empty root, a syscall filter): clients of such destinations are reset.
  void confined() { confined_ = true; }
  /// Addresses that are local to the guest: a client with one of them appears as the gateway, flows to come only.
  void set_guest_addresses(const std::vector<Address>& addresses);

  bool paused() const override { return paused_; }
  FlowCounters of_rule(std::uint64_t rule) const override { return setup_.relays->of(rule); }
  void forget_rule(std::uint64_t rule) override { setup_.relays->forget_rule(rule); }
  /// Of `relays`, whoever began them: the guest's own connections too, whose rule is 0.
  std::vector<FlowRecord> flows(const FlowQuery& query) const override {
    return setup_.relays->list(query.after, query.limit, query.rule);
  }
  bool kill(std::uint64_t flow) override { return setup_.relays->kill(flow); }

  /// When expire() has something to do; Instant::max(): never.
  Instant next_deadline() const { return resume_at_; }
  void expire();

  struct Counters {
    std::uint64_t accepted = 0;
    std::uint64_t aborted = 0;  ///< clients that had left before they were accepted
    std::uint64_t pauses = 0;
  };
  const Counters& counters() const { return counters_; }

  void flow_failed(Relay& relay, Relay::Side side, int error) override;
  void fds_free() override;

 private:
  class Listener;
  Result<> check(const Destination& destination) const;
  void pause(bool until_fds_are_free);
  void resume();
  void serve(std::uint64_t rule, const Destination& destination, UniqueFd client, const SockAddr& peer);
  Family way_to_guest(const Destination& destination, Family client) const;
  void lead_to_guest(std::uint64_t rule, const Destination& destination, UniqueFd client, const SockAddr& peer);
  void lead_to_host(std::uint64_t rule, const Destination& destination, UniqueFd client, const SockAddr& peer);
  Result<UniqueFd> dial(const Destination& destination) const;
  void answered(Relay& relay, Result<UniqueFd> stand_in);

  TcpForwardSetup setup_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Listener>> listeners_;
  std::unordered_set<Address> guest_addresses_;
  Counters counters_;
  std::unordered_set<std::uint64_t> tickets_;
  bool paused_ = false, confined_ = false;
  Instant resume_at_ = Instant::max();
};

}  // namespace nh
