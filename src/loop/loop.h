// SPDX-License-Identifier: BSD-3-Clause
// Loop: the event loop of a process: fd watches, timers, and the events of one EpollSet.
//
// Theory of operation. One Loop per process, on a GMainContext of its own, in the thread that made it. No GLib worker thread
// is ever started (signals arrive by signalfd, see signals.h), because a process with threads cannot join namespaces. A
// Watch or Timer owns its registration: destroying it ends the callback, also from inside the callback itself. Callbacks
// must not throw and must not run the loop.
//
// A turn is one iteration of the GMainContext: prepare, query, wait, check, dispatch. GLib costs O(fds) in each, so only a
// handful of fds belong here; fds that grow with flows belong in an EpollSet (epoll_set.h). Once there is one, the wait is
// an epoll_wait(2) in its epoll, to which GLib's fds are added. Its events are handled within the wait, and GLib's other steps
// are left out until one of GLib's fds is ready or one of its timers due.
#pragma once

#include <poll.h>

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

/// A watched fd. The fd is not owned and must stay open for the life of the watch.
class Watch {
 public:
  Watch() = default;
  /// Replaces the events that are waited for; 0 pauses the watch (errors and hang-ups are then not reported either).
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
  /// Fires after `delay` (rounded up to a microsecond); replaces an earlier deadline. The only system call is the clock's.
  /// To be called in the loop's thread.
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
  /// To be called before a loop is made: GLib ends the process when it gets no descriptor for its wake-up (gwakeup.c).
  static Result<> can_be_made();
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Calls `callback` with the ready events whenever one of `events`, POLLERR or POLLHUP is ready.
  Watch watch(int fd, IoEvents events, std::function<void(IoEvents)> callback);
  /// A timer, not armed yet.
  Timer timer(std::function<void()> callback);

  /// A timer whose deadline is the value of `next`, called before each wait (Instant::max(): none). For owners of many
  /// deadlines that change with every packet; `next` must be O(1).
  Timer deadline(std::function<Instant()> next, std::function<void()> callback);

  /// Runs until quit(); returns its code.
  int run();
  /// Ends run() after the present turn. Of several calls the first one's code counts.
  void quit(int code);
  /// One turn; waits for an event if `may_block`. Not re-entrant. For tests and for start-up.
  void turn(bool may_block);
  /// epoll_wait(2) calls of the loop so far (wait_in). A loop that spins has many.
  std::uint64_t turns() const { return turns_; }

  /// Most events of one epoll_wait(2): bounds a turn, so that the TAP and the control socket are served in time.
  static constexpr int batch = 128;
  /// Makes this epoll the one that the loop waits in; `ready` gets the events of fds that are not the loop's own. The epoll is
  /// not owned. False: the loop waits in another one already. -1: none from now on.
  bool wait_in(int epoll_fd, std::function<void(std::span<const epoll_event>)> ready);

  /// To be called when an fd that is not the loop's own has been added to that epoll. The loop may have watched a file of this number that
  /// was closed since its last turn, and would take the new registration for that file's, and remove it.
  void added_to_epoll(int fd);

  /// How long a wait in that epoll polls before it sleeps (busy_poll.h); zero, the default: not at all.
  void set_busy_poll(Duration window) { busy_.set_window(window); }

  const Clock& clock() const { return clock_; }

 private:
  struct EpollWait;
  void wait(std::span<pollfd> fds, int timeout_ms);
  int next_timeout_ms();

  /// Most waits in a row that GLib's other steps are left out for.
  static constexpr int waits_per_turn = 1000;

  GMainContext* context_;
  std::shared_ptr<EpollWait> epoll_wait_;
  std::vector<pollfd> fds_;  ///< GLib's, as of the present turn; kept so that nothing is allocated in a turn
  std::vector<TimerState*> timers_;
  MonotonicClock clock_;
  BusyPoll busy_{clock_};
  std::uint64_t turns_ = 0;
  bool quitting_ = false;
  int code_ = 0;
};

}  // namespace nh
