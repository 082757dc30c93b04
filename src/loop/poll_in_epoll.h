// SPDX-License-Identifier: BSD-3-Clause
// PollInEpoll: poll(2) on a few fds by one epoll_wait(2) in an epoll that also has other fds.
//
// GLib's array of fds is mostly the same in each turn. The fds are registered in the epoll once, marked by the highest bit of
// the event's data, and again only when the array or the caller's count of changes differs.
// An fd that epoll refuses (a regular file: EPERM; no memory: ENOMEM, ENOSPC) is polled by poll(2) instead, at least ten
// times a second, and its registration is tried again each time.
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
  /// The epoll is not owned. `busy` does the waiting and must outlive this object.
  PollInEpoll(int epoll_fd, BusyPoll& busy) : epoll_(epoll_fd), busy_(&busy) {}

  /// As poll(2): fills in revents, returns the number of entries with events; -1 and errno on failure. `changes` must differ
  /// from the last call's if an fd of the array may have been closed and opened again since. Events of other fds are kept for
  /// swap_others().
  int wait(std::span<pollfd> fds, int timeout_ms, std::uint64_t changes);
  /// Another's file with this number has been registered in the epoll. So the array's entry of that number, if it had one, was of a file
  /// that has been closed: nothing of it is left to be removed.
  void forget(int fd);
  /// Exchanges `empty` for the last wait's events of fds that are not of the array; so nothing is allocated in a turn.
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
