// SPDX-License-Identifier: BSD-3-Clause
// RelayThreads: the threads that flows are offloaded to, as the main thread sees them.
//
// Theory of operation. An offloaded flow goes to the thread that has the fewest flows, and stays there until it ends. The main
// thread waits for another thread only when it starts it and when it stops it.
//
// Ownership: owns the threads, not the movers; descriptors for their pipes are taken from the budget, to stay. stop(), then
// destroy the movers, then this.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "netstack/relay/relay_thread.h"

namespace nh {

class RelayThreads final : private EpollSet::Handler {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    /// A mover has left its thread. `end`: of its flow; none: the answer to drop(). Of a mover that drop() was called for, only
    /// that answer is the last (relay_thread.h).
    virtual void mover_returned(Mover& mover, std::optional<FlowEnd> end) = 0;
  };
  struct Setup {
    EpollSet* epoll;
    const Clock* clock;  ///< that any thread may read
    FdBudget* fds;
    PumpStore::Share share;  ///< of each thread
    Owner* owner;
  };

  explicit RelayThreads(const Setup& setup) : setup_(setup) {}
  ~RelayThreads() override;
  RelayThreads(const RelayThreads&) = delete;
  RelayThreads& operator=(const RelayThreads&) = delete;

  /// Starts `count` threads; on an error those before it run.
  Result<> start(unsigned count);
  void stop();

  /// Hands over a mover that has left its loop. Gives the thread's number.
  unsigned take(Mover& mover);
  /// Asks the thread to give the mover back.
  void drop(unsigned thread, Mover& mover) { threads_[thread].thread->drop(mover); }
  /// The thread has one flow less.
  void count_left(unsigned thread) { --threads_[thread].flows; }

  struct Entry {
    std::unique_ptr<RelayThread> thread;
    FdBudget::Kept fds;     ///< of its pipes
    std::size_t flows = 0;  ///< that are with it
  };
  const std::vector<Entry>& list() const { return threads_; }

 private:
  void on_ready(int fd, std::uint32_t events) override;

  Setup setup_;
  Mailbox<RelayReturn> returns_;
  std::vector<RelayReturn> taken_;
  std::vector<Entry> threads_;
  bool watched_ = false;
};

}  // namespace nh
