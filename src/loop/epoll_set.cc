// SPDX-License-Identifier: BSD-3-Clause
#include "src/loop/epoll_set.h"

#include <poll.h>

#include <array>
#include <cerrno>
#include <vector>

namespace nh {

struct EpollSet::State {
  // Indexed by fd. `serial` differs for each registration, so that an event of the batch for a closed fd does not reach the
  // handler of a new fd with the same number.
  struct Entry {
    Handler* handler = nullptr;
    std::uint32_t serial = 0;
  };
  UniqueFd epoll;
  std::vector<Entry> entries;
  std::function<void()> end_of_batch;
  Loop* waiting_loop = nullptr;  // the loop that waits in this set; null: none
  Watch watch;

  ~State() {
    if (waiting_loop != nullptr) waiting_loop->wait_in(-1, nullptr);
  }
  // The highest bit of an event's data marks the loop's own fds (poll_in_epoll.cc).
  static constexpr std::uint32_t serial_bits = 0x7fffffff;
  epoll_event event(int fd, std::uint32_t events) {
    epoll_event e{};
    e.events = events;
    e.data.u64 = (std::uint64_t{entries[static_cast<std::size_t>(fd)].serial} << 32) | static_cast<std::uint32_t>(fd);
    return e;
  }
  void dispatch(std::span<const epoll_event> events);
};

EpollSet::EpollSet(std::unique_ptr<State> state) : state_(std::move(state)) {}
EpollSet::EpollSet(EpollSet&&) noexcept = default;
EpollSet& EpollSet::operator=(EpollSet&&) noexcept = default;
EpollSet::~EpollSet() = default;

Result<EpollSet> EpollSet::create() {
  auto state = std::make_unique<State>();
  state->epoll.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!state->epoll) return sys_error("making an epoll set");
  return EpollSet(std::move(state));
}

Result<EpollSet> EpollSet::create(Loop& loop) {
  NH_LET(set, create());
  // The callbacks keep the address of the state, which does not change when the set is moved.
  State* raw = set.state_.get();
  if (loop.wait_in(raw->epoll.get(), [raw](std::span<const epoll_event> events) { raw->dispatch(events); })) {
    raw->waiting_loop = &loop;
  } else {
    raw->watch = loop.watch(raw->epoll.get(), POLLIN, [raw](IoEvents) {
      std::array<epoll_event, Loop::batch> events;
      const int count = epoll_wait(raw->epoll.get(), events.data(), Loop::batch, 0);
      if (count > 0) raw->dispatch(std::span(events).first(static_cast<std::size_t>(count)));
    });
  }
  return set;
}

Result<> EpollSet::add(int fd, std::uint32_t events, Handler& handler) {
  auto& entries = state_->entries;
  const auto index = static_cast<std::size_t>(fd);
  if (index >= entries.size()) entries.resize(index + 1);
  NH_BUG_IF(entries[index].handler != nullptr);
  entries[index].serial = (entries[index].serial + 1) & State::serial_bits;
  epoll_event e = state_->event(fd, events);
  if (epoll_ctl(state_->epoll.get(), EPOLL_CTL_ADD, fd, &e) != 0) return sys_error("watching fd " + std::to_string(fd));
  entries[index].handler = &handler;
  if (state_->waiting_loop != nullptr) state_->waiting_loop->added_to_epoll(fd);
  return Ok{};
}

void EpollSet::modify(int fd, std::uint32_t events) {
  epoll_event e = state_->event(fd, events);
  NH_BUG_IF(epoll_ctl(state_->epoll.get(), EPOLL_CTL_MOD, fd, &e) != 0);
}

void EpollSet::remove(int fd) {
  forget(fd);
  // ENOENT and EBADF mean that the fd was closed before; the kernel has then removed it already.
  epoll_ctl(state_->epoll.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void EpollSet::forget(int fd) {
  const auto index = static_cast<std::size_t>(fd);
  NH_BUG_IF(index >= state_->entries.size() || state_->entries[index].handler == nullptr);
  state_->entries[index].handler = nullptr;
}

void EpollSet::at_end_of_batch(std::function<void()> callback) {
  state_->end_of_batch = std::move(callback);
}

bool EpollSet::dispatch(int wait_ms) {
  std::array<epoll_event, Loop::batch> events;
  const int count = epoll_wait(state_->epoll.get(), events.data(), Loop::batch, wait_ms);
  if (count <= 0) return false;
  state_->dispatch(std::span(events).first(static_cast<std::size_t>(count)));
  return true;
}

void EpollSet::State::dispatch(std::span<const epoll_event> events) {
  for (const epoll_event& ready : events) {
    const auto fd = static_cast<int>(ready.data.u64 & 0xffffffffu);
    const auto serial = static_cast<std::uint32_t>(ready.data.u64 >> 32);
    if (static_cast<std::size_t>(fd) >= entries.size()) continue;  // the loop's own
    const Entry entry = entries[static_cast<std::size_t>(fd)];
    if (entry.handler != nullptr && entry.serial == serial) entry.handler->on_ready(fd, ready.events);
  }
  if (end_of_batch) end_of_batch();
}

}  // namespace nh
