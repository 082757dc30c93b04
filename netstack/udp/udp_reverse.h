// SPDX-License-Identifier: BSD-3-Clause
// UdpReverse: UDP from the guest to one service of the host, by the kernel's sockets on both sides.
//
// Theory of operation. A listener is a UDP socket of the guest's namespace (StandIns::listen). Each client of it, told by its
// address in the guest, gets a host socket of its own that is connected to the service, so that answers find their way and the
// host's ICMP errors come back as errors of that socket. What the service refuses is counted and forgotten: an unconnected
// socket cannot hand an ICMP error to its client. Idle clients are forgotten as those of UdpForward are.
//
// Ownership: owns both sockets. The epoll, the clock and the ids must outlive it. Single-threaded; neither sleeps nor blocks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "netstack/relay/flow.h"
#include "src/base/clock.h"
#include "src/base/limits.h"
#include "src/base/unique_fd.h"
#include "src/loop/epoll_set.h"

namespace nh {

struct UdpReverseSetup {
  EpollSet* epoll;
  const Clock* clock;
  FlowIds* ids;
  FlowObserver* observer = nullptr;  ///< may be null
  std::size_t max_flows = limits::udp_reverse_flows;
};

class UdpReverse {
 public:
  explicit UdpReverse(const UdpReverseSetup& setup);
  ~UdpReverse();
  UdpReverse(const UdpReverse&) = delete;
  UdpReverse& operator=(const UdpReverse&) = delete;

  /// `number` is the caller's, not in use. exhausted: no epoll watch is left.
  Result<> add(std::uint64_t number, std::uint64_t rule, UniqueFd guest_socket, const Endpoint& service);
  /// For clients to come; those that there are keep their service.
  void change(std::uint64_t number, std::uint64_t rule, const Endpoint& service);
  /// Ends the listener and its flows; an unknown number is ignored.
  void remove(std::uint64_t number);

  /// When expire() has something to do; Instant::max() if never.
  Instant next_deadline() const;
  void expire();

  /// flows_failed: clients that got no socket: table full, no fd, no route.
  struct Counters : FlowCounters {
    std::uint64_t dropped = 0;  ///< datagrams that a kernel did not take
  };
  /// Of one listener; zeros for an unknown one.
  Counters of(std::uint64_t number) const;

  /// Ordered by id: flows with greater ids than `after`, at most `limit`, of this rule only.
  std::vector<FlowRecord> list(std::uint64_t after, std::size_t limit, std::optional<std::uint64_t> rule) const;
  bool kill(std::uint64_t flow);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nh
