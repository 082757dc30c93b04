// SPDX-License-Identifier: BSD-3-Clause
// Loop: the GLib main loop behind three things: fd watches, timers, and a place that runs once a turn.
//
// Theory of operation. One Loop a process, on its own GMainContext, in the thread that made it; no GLib worker thread is
// ever started (signals come by signalfd, see signals.h), because a process with threads cannot join namespaces. Every
// registration is an owner object: destroying it ends the callback, also from inside the callback itself. Callbacks
// must not throw. Only a handful of fds belong here: GLib costs O(fds) in every turn. Whatever grows with flows lives
// in an EpollSet (epoll_set.h). Once there is one, the loop waits in its epoll instead of poll(2), with its own fds added,
// and GLib is bothered only when one of its sources has something to do.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "src/base/clock.h"
#include "src/base/result.h"
#include "src/loop/busy_poll.h"

struct epoll_event;
typedef struct _GMainContext GMainContext;
typedef struct _GSource GSource;
typedef struct _GPollFD GPollFD;

namespace nh {

/// Bits of poll(2): POLLIN, POLLOUT, POLLPRI, POLLERR, POLLHUP.
using IoEvents = short;

/// Owner of one GSource: destroys it when it dies. Empty after a move.
class SourceHandle {
 public:
  SourceHandle() = default;
  explicit SourceHandle(GSource* source) : source_(source) {}
  SourceHandle(SourceHandle&& other) noexcept : source_(std::exchange(other.source_, nullptr)) {}
  SourceHandle& operator=(SourceHandle&& other) noexcept;
  SourceHandle(const SourceHandle&) = delete;
  SourceHandle& operator=(const SourceHandle&) = delete;
  ~SourceHandle() { reset(); }
  void reset();
  explicit operator bool() const { return source_ != nullptr; }
  GSource* get() const { return source_; }

 private:
  GSource* source_ = nullptr;
};

/// A watched fd. The fd is not owned and must stay open as long as the watch.
class Watch {
 public:
  Watch() = default;
  /// Waits for other events from now on; 0 pauses the watch (errors and hang-ups are then not reported either).
  void set_events(IoEvents events);
  void reset();
  explicit operator bool() const { return static_cast<bool>(source_); }

 private:
  friend class Loop;
  SourceHandle source_;
};

/// A timer that fires once for each time it is armed.
class Timer {
 public:
  Timer() = default;
  /// Fires after `delay` (rounded up to a microsecond); replaces what was armed. Cheap: no system call but the clock's.
  /// Only from the loop's own thread.
  void arm(Duration delay);
  void disarm();
  explicit operator bool() const { return static_cast<bool>(source_); }

 private:
  friend class Loop;
  SourceHandle source_;
};

struct TimerState;

class Loop {
 public:
  /// To be asked before a loop is made: GLib ends the process where it gets no descriptor for its wake-up (gwakeup.c).
  static Result<> can_be_made();
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Calls `callback` with the events that are there whenever one of `events` (or an error) is.
  Watch watch(int fd, IoEvents events, std::function<void(IoEvents)> callback);
  /// A timer, not armed yet.
  Timer timer(std::function<void()> callback);

  /// A timer that is never armed: before each wait it asks `next` for its deadline (Instant::max(): none). For owners of
  /// many deadlines that change with every packet; `next` must be O(1).
  Timer deadline(std::function<Instant()> next, std::function<void()> callback);

  /// Runs until quit(); gives its code.
  int run();
  /// Ends run() after the present turn. The first call's code counts.
  void quit(int code);
  /// One turn; waits for an event if `may_block`. For tests and for start-up.
  void turn(bool may_block);
  /// Waits in the epoll so far (wait_in): what a loop that spins has many of.
  std::uint64_t turns() const { return turns_; }

  /// Most events that one wait brings: bounds a turn, so that the TAP and the control socket get theirs.
  static constexpr int batch = 128;
  /// Waits in this epoll from now on; `ready` gets the events that are not of the loop's own fds. False: there is such an
  /// epoll already. -1 ends it.
  bool wait_in(int epoll_fd, std::function<void(std::span<const epoll_event>)> ready);

  /// How long a wait in such an epoll looks before it sleeps (busy_poll.h); zero, as at first: not at all.
  void set_busy_poll(Duration window) { busy_.set_window(window); }

  const Clock& clock() const { return clock_; }

 private:
  struct EpollWait;
  static int poll_function(GPollFD* fds, unsigned count, int timeout) noexcept;
  int wait_ms();

  /// Turns that go by without GLib at most; then it gets to look at its sources.
  static constexpr int fast_turns = 1000;

  GMainContext* context_;
  std::shared_ptr<EpollWait> epoll_wait_;
  std::vector<TimerState*> timers_;
  MonotonicClock clock_;
  BusyPoll busy_{clock_};
  std::uint64_t turns_ = 0;
  bool quitting_ = false;
  int code_ = 0;
};

}  // namespace nh
