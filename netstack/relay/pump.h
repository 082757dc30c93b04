// SPDX-License-Identifier: BSD-3-Clause
// Pump: one direction of bytes, from one stream socket to another.
//
// Theory of operation. Small messages go by recv(2) and send(2) through one buffer that all pumps share: two system calls each.
// When that buffer comes full the direction is bulk, and splice(2) through a pipe of 1 MiB takes over until it brings less than
// limits::relay_small: the pages are passed on, not copied. Measured between two loopback sockets, medians of 5, processor time of
// the relay per GB and of everything per GB, one processor (two, both busy with other work too):
//     splice 1 MiB   0.39 s, 1.29 s  (0.35 s, 1.24 s)      splice 256 KiB  0.42 s, 1.26 s  (0.49 s, 1.38 s)
//     copy 1 MiB     0.70 s, 1.45 s  (0.72 s, 1.74 s)      copy 64 KiB     0.75 s, 1.51 s  (0.90 s, 1.94 s)
// and 2.5 against 1.5 Gbit/s there. SO_RCVLOWAT saves wakeups, but holds what is smaller than it back: not used.
//
// What a pump holds. Between two moves nothing, unless the sink does not take all: then what was taken from the source already
// waits in the pump's pipe or, if it was copied, in memory. Both are bounded for all pumps of a store together: without a pipe the
// bytes are copied, and without memory they are read by MSG_PEEK, sent, and only what the sink took is then taken from the source:
// the rest stays in the source's receive queue, which shuts its window.
//
// The urgent byte (tcp(7)). The sockets have SO_OOBINLINE (prepare_stream). recv(2) stops in front of the mark, but takes the
// byte that stands first for an ordinary one, so it is for the first read behind an event without EPOLLPRI alone. splice(2) never
// passes the mark: it returns EAGAIN there, or 0 as at the end. SIOCATMARK tells the mark from both, and the byte is sent with
// MSG_OOB.
//
// SIGPIPE must be ignored by the process: splice(2) has no MSG_NOSIGNAL.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "netstack/relay/fd_budget.h"
#include "netstack/relay/tally.h"
#include "src/base/limits.h"
#include "src/base/unique_fd.h"

namespace nh {

/// A pipe that bytes wait in.
struct PumpPipe {
  UniqueFd out, in;
  std::size_t held = 0;
};

/// What the pumps of one loop share. Its numbers are for any thread.
class PumpStore {
 public:
  /// The most of them at once, and of bytes that are copied and wait.
  struct Share {
    std::size_t pipes = limits::relay_pipes, held = limits::relay_held;
  };
  /// The budget must outlive it; pipes are taken from it.
  PumpStore(FdBudget& budget, const Share& share) : budget_(budget), share_(share) {}
  ~PumpStore();
  PumpStore(const PumpStore&) = delete;
  PumpStore& operator=(const PumpStore&) = delete;

  /// An empty pipe; null: there are as many as may be, or no descriptors.
  std::unique_ptr<PumpPipe> take_pipe();
  /// Kept for the next one if it is empty.
  void give_pipe(std::unique_ptr<PumpPipe> pipe);
  /// Whether there is room for one more full buffer.
  bool may_hold() const { return held() + buffer.size() <= share_.held; }
  void holds(std::size_t bytes) { held_ += bytes; }
  void let_go(std::size_t bytes) { held_ -= bytes; }

  std::size_t pipes() const { return pipes_.value(); }
  std::size_t held() const { return held_.value(); }

  /// Scratch of a single move.
  std::array<std::uint8_t, limits::relay_buffer> buffer;

 private:
  FdBudget& budget_;
  Share share_;
  std::vector<std::unique_ptr<PumpPipe>> idle_;
  Tally<std::size_t> pipes_, held_;
};

class Pump {
 public:
  enum class StepEnd : std::uint8_t {
    more,           ///< the limit was reached; there may be more
    starved,        ///< the source has nothing at present
    blocked,        ///< the sink takes nothing at present
    ended,          ///< the source has ended and the sink has everything
    source_failed,  ///< by `error`
    sink_failed     ///< by `error`
  };
  struct Moved {
    StepEnd outcome = StepEnd::more;
    int error = 0;
    std::size_t bytes = 0;  ///< that the sink took
  };
  struct Source {
    int fd = -1;
    /// A read that brings less than was asked for does not mean that nothing is left: the end or an urgent mark may be
    /// behind it (epoll(7), questions and answers, 9).
    bool to_the_end = false;
    /// An event of this source has just come, without EPOLLPRI: what waits first is no urgent byte.
    bool fresh = false;
  };

  /// Moves `limit` bytes at most, or little more.
  Moved move(PumpStore& store, const Source& source, int sink, std::size_t limit);
  /// Its source has more at once than a copy takes.
  bool is_bulk() const { return bulk_; }
  bool holds_any() const { return pipe_ != nullptr || rest_ != nullptr; }
  /// Drops what is held. To be called before the pump dies.
  void release(PumpStore& store);

 private:
  struct Step;
  Step push_held(PumpStore& store, int sink);
  Step carry_urgent(const Source& source, int sink);
  Step copy(PumpStore& store, const Source& source, int sink);
  Step copy_without_holding(PumpStore& store, const Source& source, int sink);
  Step splice_on(PumpStore& store, const Source& source, int sink);

  std::unique_ptr<PumpPipe> pipe_;
  std::unique_ptr<std::uint8_t[]> rest_;
  std::uint32_t rest_size_ = 0, rest_sent_ = 0;
  bool bulk_ = false;
};

}  // namespace nh
