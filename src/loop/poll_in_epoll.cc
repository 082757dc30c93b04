// SPDX-License-Identifier: BSD-3-Clause
#include "src/loop/poll_in_epoll.h"

#include <algorithm>
#include <cerrno>

#include "src/loop/loop.h"

namespace nh {
namespace {

constexpr std::uint64_t array_mark = std::uint64_t{1} << 63;
constexpr int retry_ms = 100;

}  // namespace

bool PollInEpoll::is_same(std::span<const pollfd> fds) const {
  return std::equal(fds.begin(), fds.end(), registered_.begin(), registered_.end(),
                    [](const pollfd& a, const Registered& b) { return a.fd == b.fd && a.events == b.events; });
}

void PollInEpoll::synchronise(std::span<const pollfd> fds) {
  for (const Registered& old : registered_) {
    const bool stays = std::any_of(fds.begin(), fds.end(), [&old](const pollfd& entry) { return entry.fd == old.fd; });
    // Fails for an fd that was closed. If its number is another file's now, that is not registered, or forget() was called.
    if (!stays) epoll_ctl(epoll_, EPOLL_CTL_DEL, old.fd, nullptr);
  }
  registered_.clear();
  all_in_epoll_ = true;
  for (const pollfd& entry : fds) {
    epoll_event event{};
    event.events =
        static_cast<std::uint16_t>(entry.events);  // POLLIN and so on have the values of EPOLLIN and so on (epoll(7))
    event.data.u64 = array_mark | static_cast<std::uint32_t>(entry.fd);
    const bool taken = epoll_ctl(epoll_, EPOLL_CTL_ADD, entry.fd, &event) == 0 ||
                       (errno == EEXIST && epoll_ctl(epoll_, EPOLL_CTL_MOD, entry.fd, &event) == 0);
    registered_.push_back({.fd = entry.fd, .events = entry.events, .in_epoll = taken});
    all_in_epoll_ &= taken;
  }
}

void PollInEpoll::forget(int fd) {
  std::erase_if(registered_, [fd](const Registered& old) { return old.fd == fd; });
}

int PollInEpoll::poll_the_rest(std::span<pollfd> fds) {
  int ready = 0;
  for (std::size_t i = 0; i < fds.size(); ++i)
    if (!registered_[i].in_epoll && ::poll(&fds[i], 1, 0) > 0) ++ready;
  return ready;
}

int PollInEpoll::wait(std::span<pollfd> fds, int timeout_ms, std::uint64_t changes) {
  if (changes != changes_ || !all_in_epoll_ || !is_same(fds)) synchronise(fds);
  changes_ = changes;
  others_.clear();
  events_.resize(Loop::batch);
  for (pollfd& entry : fds) entry.revents = 0;
  int ready = 0;
  if (!all_in_epoll_) {
    ready = poll_the_rest(fds);
    if (ready > 0) timeout_ms = 0;
    if (timeout_ms < 0 || timeout_ms > retry_ms) timeout_ms = retry_ms;
  }
  const int count = busy_->wait(epoll_, events_, timeout_ms);
  if (count < 0) return -1;

  for (const epoll_event& event : std::span(events_).first(static_cast<std::size_t>(count))) {
    if ((event.data.u64 & array_mark) == 0) {
      others_.push_back(event);
      continue;
    }
    const auto fd = static_cast<int>(event.data.u64 & ~array_mark);
    for (pollfd& entry : fds) {
      if (entry.fd != fd) continue;
      entry.revents = static_cast<short>(event.events);
      ++ready;
    }
  }
  return ready;
}

}  // namespace nh
