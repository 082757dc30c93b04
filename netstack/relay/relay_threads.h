// SPDX-License-Identifier: BSD-3-Clause
// RelayThreads: the threads that large flows are handed to, as the main thread sees them.
//
// Theory of operation. A flow that has become large goes to the thread that has the fewest, and stays there to its end. The
// main thread never waits for one of them but at the start and at the end.
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
    /// A mover that was handed over has left its thread. `end`: of its flow; none: it was asked for. Of one that is asked for
    /// only the answer counts (relay_thread.h).
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

  /// As many as asked for, or fewer with the error that the next one met.
  Result<> start(unsigned count);
  void stop();

  /// The mover has left its loop. Gives the thread's number.
  unsigned take(Mover& mover);
  void ask_back(unsigned thread, Mover& mover) { threads_[thread].thread->drop(mover); }
  /// It has returned.
  void left(unsigned thread) { --threads_[thread].flows; }

  struct Entry {
    std::unique_ptr<RelayThread> thread;
    std::size_t flows = 0;  ///< that are with it
  };
  const std::vector<Entry>& list() const { return threads_; }

 private:
  void on_ready(int fd, std::uint32_t events) override;

  Setup setup_;
  Mailbox<RelayReturn> returns_;
  std::vector<RelayReturn> taken_;
  std::vector<Entry> threads_;
  std::size_t fds_taken_ = 0;
  bool watched_ = false;
};

}  // namespace nh
