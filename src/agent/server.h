// SPDX-License-Identifier: BSD-3-Clause
// The agent's loop, once it has attached: events of the guest, questions of the helper, deadlines.
//
// The agent never waits for the helper. What the helper's socket does not take waits in an outbox; while that is full, no
// further question is read, so it does not grow.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "src/agent/guest_side.h"
#include "src/agent/protocol.h"
#include "src/base/clock.h"
#include "src/netlink/address_monitor.h"

namespace nh::agent {

class Server {
 public:
  /// The socket is non-blocking, and outlives it.
  Server(int socket, AddressMonitor monitor, InterfaceState state, std::unique_ptr<GuestSide> side);

  /// Returns when there is nothing left to do.
  Result<> run();

 private:
  struct Outgoing {
    std::vector<std::uint8_t> bytes;
    std::vector<UniqueFd> fds;
  };
  void post(const FromAgent& message, std::vector<UniqueFd> fds = {});
  Result<> flush();
  int wait_ms() const;
  /// These give false at the end.
  Result<bool> answer();
  Result<bool> report(std::uint32_t seq);

  int socket_;
  AddressMonitor monitor_;
  InterfaceState state_;
  std::unique_ptr<GuestSide> side_;
  std::deque<Outgoing> outbox_;
  Instant pause_until_ = Instant::min();
  MonotonicClock clock_;
};

}  // namespace nh::agent
