// SPDX-License-Identifier: BSD-3-Clause
// RelayLoop: what all movers of one epoll share: turns, pipes, and the clock for those that die.
//
// Theory of operation. Fairness: a mover moves limits::relay_visit bytes a direction at most, all together limits::relay_turn,
// then those that have more wait in the ready list until the epoll has been looked at again; next_deadline() is then due and
// run() goes on. Nothing is lost by that with edge-triggered events: a mover on the list remembers what was ready.
//
// One thread runs it; what it counts may be read by others. Neither sleeps nor blocks.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <vector>

#include "netstack/relay/fd_budget.h"
#include "netstack/relay/mover.h"
#include "netstack/relay/pump.h"
#include "netstack/relay/tally.h"
#include "src/base/limits.h"
#include "src/loop/epoll_set.h"

namespace nh {

/// Of one rule: bytes that the receiving sockets have taken. Movers of several loops add to it.
struct RelayBytes {
  std::atomic<std::uint64_t> to_guest{0}, to_host{0};
};

class RelayLoop {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    /// Its flow has ended. Called last for it, within whatever it was doing.
    virtual void mover_ended(Mover& mover, FlowEnd end) = 0;
    /// It moves much (lead_away); it is to leave this loop.
    virtual void mover_is_large(Mover&) {}
  };

  /// All that is pointed to must outlive it.
  struct Setup {
    EpollSet* epoll;
    const Clock* clock;
    FdBudget* fds;
    PumpStore::Share share;
    Owner* owner;
  };
  explicit RelayLoop(const Setup& setup)
      : epoll_(*setup.epoll), clock_(*setup.clock), owner_(*setup.owner), store_(*setup.fds, setup.share) {}
  RelayLoop(const RelayLoop&) = delete;
  RelayLoop& operator=(const RelayLoop&) = delete;

  /// When run() has something to do; Instant{}: now, Instant::max(): never.
  Instant next_deadline() const;
  void run();

  /// From now on its owner hears of each mover that has moved so many bytes (Mover::moves_much).
  void lead_away(std::uint64_t bytes) { large_ = bytes; }

  struct Counters {
    Tally<std::uint64_t> bytes_to_guest, bytes_to_host;
    Tally<std::uint64_t> turns;   ///< of run()
    Tally<std::uint64_t> visits;  ///< moves of one direction
  };
  const Counters& counters() const { return counters_; }
  const PumpStore& store() const { return store_; }

 private:
  friend class Mover;
  // For Mover.
  void later(Mover& mover);
  void linger(Mover& mover);
  void moved(RelayBytes& rule, Mover::Side from, std::size_t bytes);
  void ended(Mover& mover, FlowEnd end) { owner_.mover_ended(mover, end); }
  bool leads_away(Mover& mover);
  void forget(Mover& mover);

  void run_lingering();

  EpollSet& epoll_;
  const Clock& clock_;
  Owner& owner_;
  PumpStore store_;
  Counters counters_;
  std::vector<Mover*> ready_;         // null: has left meanwhile
  std::list<MoverLinger> lingering_;  // dying, their last bytes under way; by `check`
  std::size_t turn_left_ = limits::relay_turn;
  std::optional<std::uint64_t> large_;
};

}  // namespace nh
