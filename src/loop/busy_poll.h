// SPDX-License-Identifier: BSD-3-Clause
// BusyPoll: epoll_wait(2) that looks for a while before it sleeps, where that has paid of late.
//
// Theory of operation. Who sleeps must be woken, and a processor that has nothing else to do must be woken first: in a virtual
// machine that is an exit to the hypervisor and back. A request and its answer through the helper have four such waits in a row,
// and each costs more, in time and in CPU, than all that the helper does with the bytes. So a wait that finds nothing looks
// again and again for a short window. Measured with two processors (KVM), window 200 us, kernel path: request/response 4,000 ->
// 7,300 a second and more, connect/request/close 1,850 -> 2,600, for the same CPU time each; on one processor and in bulk no
// difference. A guest's kernel does the same for whole processors (Documentation/virt/guest-halt-polling.rst, 200 us).
//
// What keeps it cheap and fair:
//   - A look that finds nothing is a miss. After n misses in a row the next 2^n - 1 sleeps, 63 at most, go without a look; a
//     find forgets them. Events that come far apart cost a 64th of the window each, and an idle helper costs nothing.
//   - Looking is paid for by what it saves. Each find is worth 50 us, about what a sleep and its end cost on that machine; what
//     was looked longer must have been saved up by other finds, or the find is a miss too. Datagrams that come every 200 us
//     whatever we do cost 15 % of a processor with it and 14 % without; with no such rule 75 %.
//   - Between two looks the processor is offered to others (sched_yield(2)): what we have just woken may be waiting for it.
//   - Where somebody else kept it for long then, it is wanted, and a sleeper has the better claim to get it back (he is woken
//     ahead of those that run). So nothing is looked for during the next 25 ms, or twice as long as the last time if that look
//     was the first since, up to 400 ms: one late event in that time at most.
//
// The first wait of a row costs one system call more than before, waits that find events at once none.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <span>

#include "src/base/clock.h"

namespace nh {

class BusyPoll {
 public:
  /// The clock must outlive it. It looks only once it has a window.
  explicit BusyPoll(const Clock& clock) : clock_(&clock) {}

  /// How long a wait looks before it sleeps; zero: not at all.
  void set_window(Duration window) { window_ = window; }
  /// As epoll_wait(2). With a window it may return that much later than `timeout_ms`.
  int wait(int epoll, std::span<epoll_event> events, int timeout_ms);

  /// So far: waits that had the kernel wait, and waits that found nothing at once and looked.
  std::uint64_t sleeps() const { return sleeps_; }
  std::uint64_t looks() const { return looks_; }

  static constexpr unsigned most_skipped = 63;
  static constexpr Duration worth = std::chrono::microseconds(50);         ///< of a find
  static constexpr Duration most_credit = std::chrono::microseconds(500);  ///< that finds save up
  static constexpr Duration crowded = std::chrono::microseconds(500);      ///< kept by another for longer than this
  static constexpr Duration shortest_pause = std::chrono::milliseconds(25);
  static constexpr Duration longest_pause = std::chrono::milliseconds(400);

 private:
  bool may_look();
  int look(int epoll, std::span<epoll_event> events);

  const Clock* clock_;
  Duration window_{};
  Duration credit_{};                ///< not below zero between two waits
  unsigned skip_ = 0;                ///< sleeps to come without a look
  unsigned next_skip_ = 0;           ///< what it was after the last miss; 0: after a find
  Duration pause_ = shortest_pause;  ///< of the next look that finds others
  Instant pause_end_{};
  std::uint64_t sleeps_ = 0, looks_ = 0;
};

}  // namespace nh
