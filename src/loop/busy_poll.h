// SPDX-License-Identifier: BSD-3-Clause
// BusyPoll: epoll_wait(2) that polls for a short window before it sleeps, with a back-off where polling does not pay.
//
// Theory of operation. A sleeping thread must be woken, and an idle processor must be woken first: in a virtual machine that is
// an exit to the hypervisor and back. A request and its answer through the helper have four such waits in a row, and each costs
// more time and CPU than all that the helper does with the bytes. So a wait that finds no event polls for a window before it
// sleeps. Measured with two processors (KVM), window 200 us, kernel path: request/response 4,000 -> 7,300 a second and more,
// connect/request/close 1,850 -> 2,600, for the same CPU time each; on one processor and in bulk transfers no difference. Guest
// kernels do the same for a whole processor (Documentation/virt/guest-halt-polling.rst, 200 us).
//
// Limits on its cost:
//   - Exponential back-off: after n misses (polls that found nothing) in a row the next 2^n - 1 waits, at most 63, do not poll;
//     a success resets this. Events that are far apart cost a 64th of the window each, and an idle helper costs nothing.
//   - A credit: each success earns 50 us, about what a sleep and a wake-up cost on that machine, and the time polled is taken
//     from it. A success that the credit does not cover counts as a miss. Datagrams that arrive every 200 us regardless of us cost
//     15 % of a processor with this rule, 14 % without polling, and 75 % with polling and without the rule.
//   - sched_yield(2) between two polls, because the process that we have just woken may be waiting for this processor.
//   - If sched_yield(2) takes longer than 500 us, the processor is contended, and a thread that sleeps gets it back sooner than
//     one that polls (the scheduler favours a woken thread). Polling then pauses for 25 ms, twice as long each time that the
//     first poll after a pause finds the same, up to 400 ms.
//
// Cost in system calls: one more for a wait that polls and then sleeps, none for a wait that finds events at once.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <span>

#include "src/base/clock.h"

namespace nh {

class BusyPoll {
 public:
  /// The clock must outlive it. Without a window it never polls.
  explicit BusyPoll(const Clock& clock) : clock_(&clock) {}

  /// How long a wait polls before it sleeps; zero: not at all.
  void set_window(Duration window) { window_ = window; }
  /// As epoll_wait(2). It may return later than `timeout_ms`, by the window at most.
  int wait(int epoll, std::span<epoll_event> events, int timeout_ms);

  /// So far: waits that may have slept, and waits that polled because there was no event at once.
  std::uint64_t sleeps() const { return sleeps_; }
  std::uint64_t polls() const { return polls_; }

  static constexpr unsigned max_skipped = 63;                             ///< waits without polling after misses
  static constexpr Duration saving = std::chrono::microseconds(50);       ///< credit earned by a success
  static constexpr Duration max_credit = std::chrono::microseconds(500);  ///< no more is saved up
  static constexpr Duration contended = std::chrono::microseconds(500);   ///< sched_yield(2) took longer than this
  static constexpr Duration shortest_pause = std::chrono::milliseconds(25);
  static constexpr Duration longest_pause = std::chrono::milliseconds(400);

 private:
  bool may_poll();
  int poll(int epoll, std::span<epoll_event> events);

  const Clock* clock_;
  Duration window_{};
  Duration credit_{};                ///< never negative between two waits
  unsigned skip_ = 0;                ///< waits to come that do not poll
  unsigned next_skip_ = 0;           ///< the value of skip_ after the last miss; 0 after a success
  Duration pause_ = shortest_pause;  ///< of the next poll that finds the processor contended
  Instant pause_end_{};
  std::uint64_t sleeps_ = 0, polls_ = 0;
};

}  // namespace nh
