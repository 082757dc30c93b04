// SPDX-License-Identifier: BSD-3-Clause
// EpollSet: the epoll of its own for everything that carries data and grows with flows: TAP, libslirp's sockets, listeners,
// forwards, DNS. A turn costs O(ready fds), and the set could move to a thread of its own.
//
// Theory of operation. The first set of a Loop is the epoll that the loop waits in: the loop adds its own few fds to it
// (loop.h), so that one epoll_wait(2) a turn brings everything. A further set would be watched by its fd; one of another thread
// is waited in by that thread. A batch of events
// is dispatched to the handlers, then the end-of-batch callback runs once; libslirp is served there, after all of the batch.
// Waiting in the set directly is not only one system call less: behind a nested epoll the kernel forgets that the
// waker is about to sleep, moves us to another processor for each frame, and request/response rate drops to a third
// (measured; Linux 6.12 and later pass the hint on through one level).
//
// Ownership: the set owns no fd. A Handler is registered with its fd and must be removed before either dies. Removing
// a handler (any handler) from inside a callback is allowed: events of the same batch for a removed fd are skipped.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/loop/loop.h"

namespace nh {

class EpollSet {
 public:
  class Handler {
   public:
    virtual ~Handler() = default;
    /// `events` are bits of epoll(7).
    virtual void on_ready(int fd, std::uint32_t events) = 0;
  };

  /// Waited for by `loop`, which must outlive it.
  static Result<EpollSet> create(Loop& loop);
  /// Waited in by nobody but dispatch(), and of no thread but that one's.
  static Result<EpollSet> create();
  EpollSet(EpollSet&&) noexcept;
  EpollSet& operator=(EpollSet&&) noexcept;
  ~EpollSet();

  /// exhausted: out of epoll watches or memory.
  Result<> add(int fd, std::uint32_t events, Handler& handler);
  void modify(int fd, std::uint32_t events);
  void remove(int fd);
  /// For an fd that is about to be closed and has no copy: the kernel takes it out by itself.
  void forget(int fd);
  /// Runs after each batch of events. Empty: nothing does.
  void at_end_of_batch(std::function<void()> callback);
  /// Handles what is ready now, or what comes first within `wait_ms` (-1: for ever); true if anything was.
  bool dispatch(int wait_ms = 0);

 private:
  struct State;
  explicit EpollSet(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace nh
