// SPDX-License-Identifier: BSD-3-Clause
// EpollSet: an epoll for the fds of the data path, whose number grows with flows: TAP, libslirp's sockets, listeners,
// forwards, DNS. A turn costs O(ready fds).
//
// Theory of operation. A loop waits in its first set (loop.h) and adds its own few fds to it, so that one epoll_wait(2) a turn
// returns all events. A further set of a loop is watched as an fd. A set without a loop belongs to a thread that calls
// dispatch(). The events of a batch are given to their handlers, then the end-of-batch callback runs once; libslirp is served
// there.
// Waiting in the set directly saves more than a system call: behind a nested epoll the kernel does not know that the waker is
// about to sleep (WF_SYNC), moves us to another processor for each frame, and the request/response rate drops to a third
// (measured; Linux 6.12 and later pass the hint through one level).
//
// Ownership: the set owns no fd and no Handler. A registration must be removed before its fd is closed and before its Handler is
// destroyed. Any may be removed from inside a callback: the rest of its events in the same batch is skipped.
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

  /// A set whose events `loop` waits for and dispatches. The loop must outlive it.
  static Result<EpollSet> create(Loop& loop);
  /// A set without a loop, to be used by the thread that calls dispatch() only.
  static Result<EpollSet> create();
  EpollSet(EpollSet&&) noexcept;
  EpollSet& operator=(EpollSet&&) noexcept;
  ~EpollSet();

  /// Errors: exhausted: no epoll watch (epoll(7), max_user_watches) or memory is left.
  Result<> add(int fd, std::uint32_t events, Handler& handler);
  void modify(int fd, std::uint32_t events);
  void remove(int fd);
  /// remove() without its system call, for an fd that is closed next and has no duplicate: the kernel removes that itself.
  void forget(int fd);
  /// Sets the callback that runs after each batch of events; empty: none.
  void at_end_of_batch(std::function<void()> callback);
  /// Waits up to `wait_ms` (-1: without end) for events and dispatches one batch; true if there was any.
  bool dispatch(int wait_ms = 0);

 private:
  struct State;
  explicit EpollSet(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace nh
