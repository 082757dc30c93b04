// SPDX-License-Identifier: BSD-3-Clause
// RelayThread: a thread that moves the bytes of the flows that were handed to it.
//
// Theory of operation. It has a RelayLoop with an epoll of its own, and waits nowhere else. Movers come and go by messages.
// Whoever posts RelayOrder::take has removed the mover from its own loop, and from then on uses only what any thread may use of it
// (mover.h), until a RelayReturn says that the flow has ended. RelayOrder::drop asks for the mover back. It is always answered by
// a RelayReturn without an end, also if the flow has just ended and the RelayReturn with its end is still in the mailbox: only
// the answer to drop says that the thread has no reference to the mover left. Bounded: two messages a flow each way.
//
// The thread logs nothing, opens nothing but pipes, and has every signal blocked. It inherits the confinement of the thread that
// starts it; a seccomp filter must be installed later, for all threads, as glibc needs more system calls to start a thread than
// to run one.
//
// Ownership: owns its loop, not the movers. stop() it, then destroy the movers that are left, then it.
#pragma once

#include <pthread.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netstack/relay/mailbox.h"
#include "netstack/relay/mover.h"
#include "netstack/relay/relay_loop.h"

namespace nh {

inline constexpr std::size_t fds_of_a_pipe = 2;

struct RelayOrder {
  enum class What : std::uint8_t { take, drop, stop } what;
  Mover* mover = nullptr;
};

/// That a mover has left its thread.
struct RelayReturn {
  Mover* mover;
  std::optional<FlowEnd> end;  ///< of its flow; none: the answer to RelayOrder::drop
};

class RelayThread final : private Mover::Owner, private EpollSet::Handler {
 public:
  struct Setup {
    unsigned number;
    const Clock* clock;  ///< that any thread may read
    PumpStore::Share share;
    Mailbox<RelayReturn>* home;
  };

  /// Runs when this returns. Errors: what pthread_create(3) or epoll say.
  static Result<std::unique_ptr<RelayThread>> start(const Setup& setup);
  /// It must be stopped.
  ~RelayThread() override;
  RelayThread(const RelayThread&) = delete;
  RelayThread& operator=(const RelayThread&) = delete;

  void take(Mover& mover) { orders_.post({.what = RelayOrder::What::take, .mover = &mover}); }
  void drop(Mover& mover) { orders_.post({.what = RelayOrder::What::drop, .mover = &mover}); }
  /// Waits for its end: one turn at most.
  void stop();

  /// What it counts; for any thread.
  const RelayLoop& loop() const { return loop_; }

 private:
  RelayThread(const Setup& setup, EpollSet epoll);
  static void* entry(void* self) noexcept;
  void run();
  void obey(const RelayOrder& order);

  void on_ready(int fd, std::uint32_t events) override;
  void mover_ended(Mover& mover, FlowEnd end) override;

  Setup setup_;
  FdBudget fds_;  // its share of the pipes
  EpollSet epoll_;
  RelayLoop loop_;
  Mailbox<RelayOrder> orders_;
  std::vector<RelayOrder> taken_;
  std::atomic<bool> runs_{false};
  bool stopped_ = false;  // the thread's own
  std::optional<pthread_t> thread_;
};

}  // namespace nh
