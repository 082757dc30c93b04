// SPDX-License-Identifier: BSD-3-Clause
// PollInEpoll: poll(2) on a few fds, carried out inside an epoll that also has others: one wait for both.
//
// GLib gives the same array of fds turn after turn. They are registered in the epoll once, marked by the highest bit
// of the event's data, and again only when the array or the caller's count of changes says that something is different.
// An fd that epoll does not take (a regular file: EPERM; no memory: ENOMEM, ENOSPC) is asked about by poll(2) instead, now and
// at least ten times a second, and offered to the epoll again each time: nothing that is watched is ever forgotten.
#pragma once

#include <poll.h>
#include <sys/epoll.h>

#include <cstdint>
#include <span>
#include <vector>

#include "src/loop/busy_poll.h"

namespace nh {

class PollInEpoll {
 public:
  /// The epoll is not owned, and waited in by `busy`, which must outlive this.
  PollInEpoll(int epoll_fd, BusyPoll& busy) : epoll_(epoll_fd), busy_(&busy) {}

  /// As poll(2): fills in revents, returns how many entries have some; -1 and errno on failure. `changes` is different
  /// whenever an fd of the array may have been closed and opened again. Events of other fds are kept for swap_others().
  int wait(std::span<pollfd> fds, int timeout_ms, std::uint64_t changes);
  /// Swaps the events of the last wait that are not of the array for an empty vector; nothing is allocated in a turn.
  void swap_others(std::vector<epoll_event>& empty) { others_.swap(empty); }

 private:
  struct Registered {
    int fd;
    short events;
    bool in_epoll;
  };
  void synchronise(std::span<const pollfd> fds);
  bool is_same(std::span<const pollfd> fds) const;
  int poll_the_rest(std::span<pollfd> fds);

  int epoll_;
  BusyPoll* busy_;
  std::uint64_t changes_ = 0;
  bool all_in_epoll_ = true;
  std::vector<Registered> registered_;
  std::vector<epoll_event> events_, others_;
};

}  // namespace nh
