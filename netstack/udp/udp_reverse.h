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
#include <vector>

#include "netstack/relay/carrier.h"
#include "src/base/clock.h"
#include "src/base/limits.h"
#include "src/loop/epoll_set.h"

namespace nh {

struct UdpReverseSetup {
  EpollSet* epoll;
  const Clock* clock;
  FlowIds* ids;
  FlowObserver* observer = nullptr;  ///< may be null
  std::size_t max_flows = limits::udp_reverse_flows;
};

class UdpReverse final : public Carrier {
 public:
  explicit UdpReverse(const UdpReverseSetup& setup);
  ~UdpReverse() override;
  UdpReverse(const UdpReverse&) = delete;
  UdpReverse& operator=(const UdpReverse&) = delete;

  /// The socket is of the guest's namespace, the destination of the host, no Unix socket. exhausted: no epoll watch is left.
  Result<Endpoint> add(std::uint64_t number, std::uint64_t rule, ListenOn on, const Destination& destination) override;
  Result<> change(std::uint64_t number, std::uint64_t rule, const Destination& destination) override;
  void remove(std::uint64_t number) override;

  /// When expire() has something to do; Instant::max() if never.
  Instant next_deadline() const;
  void expire();

  /// flows_failed: clients that got no socket: table full, no fd, no route.
  FlowCounters of_rule(std::uint64_t rule) const override;
  void forget_rule(std::uint64_t rule) override;
  std::vector<FlowRecord> flows(const FlowQuery& query) const override;
  bool kill(std::uint64_t flow) override;

  /// Datagrams that a kernel did not take, since the start.
  std::uint64_t dropped() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nh
