// SPDX-License-Identifier: BSD-3-Clause
// EpollSet: the epoll of its own for everything that grows with flows. Its one fd is watched by the Loop, so that a
// turn costs O(ready fds), and it can move to a thread of its own.
//
// Ownership: the set owns no fd. A Handler is registered with its fd and must be removed before either dies. Removing
// a handler (any handler) from inside a callback is allowed: events of the same batch for a removed fd are skipped.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

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
    virtual void on_ready(std::uint32_t events) = 0;
  };

  /// Watched by `loop`, which must outlive it.
  static Result<EpollSet> create(Loop& loop);
  EpollSet(EpollSet&&) noexcept;
  EpollSet& operator=(EpollSet&&) noexcept;
  ~EpollSet();

  /// exhausted: out of epoll watches or memory.
  Result<> add(int fd, std::uint32_t events, Handler& handler);
  void modify(int fd, std::uint32_t events);
  void remove(int fd);
  /// Handles what is ready now, without waiting; true if anything was.
  bool dispatch();

 private:
  struct State;
  explicit EpollSet(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace nh
