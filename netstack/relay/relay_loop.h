// SPDX-License-Identifier: BSD-3-Clause
// RelayLoop: what all movers of one epoll share: turns, pipes, and deadlines of those whose last bytes are under way.
//
// Theory of operation. Fairness: a member moves limits::relay_visit bytes a direction at most, all together limits::relay_turn.
// Members that have more wait in the ready list until the other descriptors of the epoll have been served: next_deadline() is
// due at once then, and run() gives each of them one turn. Edge-triggered events are not lost by that: a member remembers what
// was ready.
//
// It knows its members by the interface RelayLoop::Member alone; Mover is the only one. One thread runs it; other threads may
// read its counters. Neither sleeps nor blocks.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <vector>

#include "netstack/relay/fd_budget.h"
#include "netstack/relay/pump.h"
#include "netstack/relay/tally.h"
#include "src/base/clock.h"
#include "src/base/limits.h"
#include "src/loop/epoll_set.h"

namespace nh {

/// Of one rule: bytes that the receiving sockets have taken. Movers of several loops add to it.
struct RelayBytes {
  std::atomic<std::uint64_t> to_guest{0}, to_host{0};
};

class RelayLoop {
 public:
  class Member;
  struct ProgressCheck {
    Member* member;
    Instant due;
  };
  class Member {
   public:
    virtual ~Member() = default;
    /// Its turn has come: it moves what was left over. May destroy the member.
    virtual void run_turn() = 0;
    /// limits::relay_last_bytes are over since check_progress(). May destroy the member.
    virtual void progress_due() = 0;

    /// Where the loop has it; the loop's alone.
    struct Place {
      std::int32_t ready_at = -1;  ///< index in the ready list; -1: not in it
      bool checked = false;        ///< `check` is valid
      std::list<ProgressCheck>::iterator check{};
    };
    Place place;
  };

  /// All that is pointed to must outlive it.
  struct Setup {
    EpollSet* epoll;
    const Clock* clock;
    FdBudget* fds;
    PumpStore::Share share;
  };
  explicit RelayLoop(const Setup& setup) : epoll_(*setup.epoll), clock_(*setup.clock), store_(*setup.fds, setup.share) {}
  RelayLoop(const RelayLoop&) = delete;
  RelayLoop& operator=(const RelayLoop&) = delete;

  /// When run() has something to do; Instant{}: now, Instant::max(): never.
  Instant next_deadline() const;
  void run();

  /// Bytes that a mover has moved in one direction when it is to be offloaded to another loop (Mover::Owner::mover_to_offload).
  /// nullopt: never, the default.
  void set_offload_threshold(std::uint64_t bytes) { offload_threshold_ = bytes; }
  std::optional<std::uint64_t> offload_threshold() const { return offload_threshold_; }

  struct Counters {
    Tally<std::uint64_t> bytes_to_guest, bytes_to_host;
    Tally<std::uint64_t> turns;   ///< of run()
    Tally<std::uint64_t> visits;  ///< moves of one direction
  };
  const Counters& counters() const { return counters_; }
  const PumpStore& store() const { return store_; }

  // ---- for its members ----
  EpollSet& epoll() { return epoll_; }
  PumpStore& store() { return store_; }
  /// Bytes that may be moved before the other descriptors of the epoll are served.
  std::size_t turn_left() const { return turn_left_; }
  /// Into the ready list, unless it is there.
  void add_ready(Member& member);
  /// progress_due() is called once, limits::relay_last_bytes from now. Not again before that.
  void check_progress(Member& member);
  /// Counts what a receiving socket has taken in one move.
  void count_moved(RelayBytes& rule, bool to_guest, std::size_t bytes);
  /// Out of the ready list, and no progress_due() any more.
  void remove(Member& member);

 private:
  void run_progress_checks();

  EpollSet& epoll_;
  const Clock& clock_;
  PumpStore store_;
  Counters counters_;
  std::vector<Member*> ready_;       // null: has been removed meanwhile
  std::list<ProgressCheck> checks_;  // by `due`
  std::size_t turn_left_ = limits::relay_turn;
  std::optional<std::uint64_t> offload_threshold_;
};

}  // namespace nh
