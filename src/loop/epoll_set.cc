// SPDX-License-Identifier: BSD-3-Clause
#include "src/loop/epoll_set.h"

#include <poll.h>
#include <sys/epoll.h>

#include <array>
#include <cerrno>

namespace nh {

namespace {
// Events taken by one epoll_wait(2): bounds a turn, so that the TAP and the control socket get theirs.
constexpr int batch = 128;
}  // namespace

struct EpollSet::State {
  // Indexed by fd. `serial` tells a closed and reused fd of the same batch from the one that the event was for.
  struct Entry {
    Handler* handler = nullptr;
    std::uint32_t serial = 0;
  };
  UniqueFd epoll;
  std::vector<Entry> entries;
  Watch watch;

  epoll_event event(int fd, std::uint32_t events) {
    epoll_event e{};
    e.events = events;
    e.data.u64 = (std::uint64_t{entries[static_cast<std::size_t>(fd)].serial} << 32) | static_cast<std::uint32_t>(fd);
    return e;
  }
  bool dispatch();
};

EpollSet::EpollSet(std::unique_ptr<State> state) : state_(std::move(state)) {}
EpollSet::EpollSet(EpollSet&&) noexcept = default;
EpollSet& EpollSet::operator=(EpollSet&&) noexcept = default;
EpollSet::~EpollSet() = default;

Result<EpollSet> EpollSet::create(Loop& loop) {
  auto state = std::make_unique<State>();
  state->epoll.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!state->epoll) return sys_error("making an epoll set");
  EpollSet set(std::move(state));
  // The state stays where it is when the set is moved; its address is what the callback keeps.
  set.state_->watch = loop.watch(set.state_->epoll.get(), POLLIN, [raw = set.state_.get()](IoEvents) { raw->dispatch(); });
  return set;
}

Result<> EpollSet::add(int fd, std::uint32_t events, Handler& handler) {
  auto& entries = state_->entries;
  const auto index = static_cast<std::size_t>(fd);
  if (index >= entries.size()) entries.resize(index + 1);
  NH_BUG_IF(entries[index].handler != nullptr);
  ++entries[index].serial;
  epoll_event e = state_->event(fd, events);
  if (epoll_ctl(state_->epoll.get(), EPOLL_CTL_ADD, fd, &e) != 0) return sys_error("watching fd " + std::to_string(fd));
  entries[index].handler = &handler;
  return Ok{};
}

void EpollSet::modify(int fd, std::uint32_t events) {
  epoll_event e = state_->event(fd, events);
  NH_BUG_IF(epoll_ctl(state_->epoll.get(), EPOLL_CTL_MOD, fd, &e) != 0);
}

void EpollSet::remove(int fd) {
  const auto index = static_cast<std::size_t>(fd);
  NH_BUG_IF(index >= state_->entries.size() || state_->entries[index].handler == nullptr);
  state_->entries[index].handler = nullptr;
  // ENOENT and EBADF would mean that the fd was closed before it was removed; the kernel has then forgotten it already.
  epoll_ctl(state_->epoll.get(), EPOLL_CTL_DEL, fd, nullptr);
}

bool EpollSet::dispatch() { return state_->dispatch(); }

bool EpollSet::State::dispatch() {
  std::array<epoll_event, batch> events;
  const int count = epoll_wait(epoll.get(), events.data(), batch, 0);
  for (int i = 0; i < count; ++i) {
    const auto index = static_cast<std::size_t>(events[static_cast<std::size_t>(i)].data.u64 & 0xffffffffu);
    const auto serial = static_cast<std::uint32_t>(events[static_cast<std::size_t>(i)].data.u64 >> 32);
    const Entry entry = entries[index];
    if (entry.handler != nullptr && entry.serial == serial)
      entry.handler->on_ready(events[static_cast<std::size_t>(i)].events);
  }
  return count > 0;
}

}  // namespace nh
