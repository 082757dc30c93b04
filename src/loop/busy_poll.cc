// SPDX-License-Identifier: BSD-3-Clause
#include "src/loop/busy_poll.h"

#include <sched.h>

#include <algorithm>

namespace nh {

int BusyPoll::wait(int epoll, std::span<epoll_event> events, int timeout_ms) {
  const int most = static_cast<int>(events.size());
  if (timeout_ms != 0 && may_poll()) {
    const int count = poll(epoll, events);
    if (count != 0) return count;
  }
  if (timeout_ms != 0) ++sleeps_;
  return epoll_wait(epoll, events.data(), most, timeout_ms);
}

bool BusyPoll::may_poll() {
  if (window_ <= Duration::zero()) return false;
  if (skip_ > 0) {
    --skip_;
    return false;
  }
  return pause_end_ == Instant{} || clock_->now() >= pause_end_;
}

int BusyPoll::poll(int epoll, std::span<epoll_event> events) {
  const int most = static_cast<int>(events.size());
  int count = epoll_wait(epoll, events.data(), most, 0);
  if (count != 0) return count;
  ++polls_;
  const Instant begin = clock_->now();
  Instant now = begin;
  while (count == 0 && now - begin < window_) {
    sched_yield();
    const Instant resumed = clock_->now();
    const bool was_contended = resumed - now > contended;
    now = resumed;
    count = epoll_wait(epoll, events.data(), most, 0);
    if (was_contended) {
      pause_end_ = now + pause_;
      pause_ = std::min(pause_ * 2, longest_pause);
      return count;
    }
  }
  pause_ = shortest_pause;
  credit_ += (count != 0 ? saving : Duration::zero()) - (now - begin);
  credit_ = std::min(credit_, max_credit);
  if (count != 0 && credit_ >= Duration::zero()) {
    next_skip_ = 0;
    return count;
  }
  credit_ = std::max(credit_, Duration::zero());
  next_skip_ = std::min(next_skip_ * 2 + 1, max_skipped);
  skip_ = next_skip_;
  return count;
}

}  // namespace nh
