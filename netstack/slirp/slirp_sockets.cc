// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/slirp/slirp_sockets.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "src/base/log.h"

namespace nh {
namespace {

SlirpSockets::Kind kind_of(int fd) {
  int protocol = 0;
  socklen_t size = sizeof protocol;
  if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) != 0) return SlirpSockets::Kind::tcp;
  if (protocol == IPPROTO_UDP) return SlirpSockets::Kind::udp;
  if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6) return SlirpSockets::Kind::icmp;
  return SlirpSockets::Kind::tcp;
}

}  // namespace

const SlirpSockets::Entry* SlirpSockets::find(int fd) const {
  const auto index = static_cast<std::size_t>(fd);
  return fd >= 0 && index < entries_.size() && entries_[index].kind != Kind::none ? &entries_[index] : nullptr;
}

void SlirpSockets::opened(int fd) {
  if (fd < 0) return;
  const auto index = static_cast<std::size_t>(fd);
  if (index >= entries_.size()) entries_.resize(index + 1);
  // The number is that of an earlier socket whose end was not announced.
  if (entries_[index].kind != Kind::none) closing(fd);
  entries_[index] = Entry{.kind = kind_of(fd)};
  ++counts_[static_cast<std::size_t>(entries_[index].kind)];
}

void SlirpSockets::closing(int fd) {
  if (find(fd) == nullptr) return;
  Entry& entry = entries_[static_cast<std::size_t>(fd)];
  --counts_[static_cast<std::size_t>(entry.kind)];
  if (entry.registered != 0) epoll_.forget(fd);
  entry = Entry{};
}

void SlirpSockets::opened_listener(int fd) {
  opened(fd);
  Entry& entry = entries_[static_cast<std::size_t>(fd)];
  --counts_[static_cast<std::size_t>(entry.kind)];
  entry.kind = Kind::listener;
  ++counts_[static_cast<std::size_t>(Kind::listener)];
}

bool SlirpSockets::is_listener(int fd) const {
  const Entry* const entry = find(fd);
  return entry != nullptr && entry->kind == Kind::listener;
}

void SlirpSockets::set_registered(int fd, Entry& entry, std::uint32_t events) {
  if (entry.registered == 0) {
    if (auto added = epoll_.add(fd, events, *this); !added)
      return log::rate_limited(log::Level::error, "slirp-epoll", Error(added.error()).in("a socket of libslirp").message());
  } else if (events == 0) {
    epoll_.remove(fd);
  } else {
    epoll_.modify(fd, events);
  }
  entry.registered = events;
}

void SlirpSockets::want(int fd, std::uint32_t events) {
  if (fd < 0) return;
  if (find(fd) == nullptr) opened(fd);
  Entry& entry = entries_[static_cast<std::size_t>(fd)];
  if (entry.kind == Kind::listener && listeners_paused_) events = 0;
  entry.wanted = events;
  entry.generation = generation_;
  if ((events & ~entry.registered) != 0) set_registered(fd, entry, events);
}

void SlirpSockets::end_fill() {
  for (const int fd : unwanted_fds_) {
    Entry& entry = entries_[static_cast<std::size_t>(fd)];
    const std::uint32_t wanted = entry.generation == generation_ ? entry.wanted : 0;
    // Otherwise epoll_wait(2) would return at once for as long as the event lasts. A socket that was closed since is not registered.
    if (entry.registered != 0 && entry.registered != wanted) set_registered(fd, entry, wanted);
  }
  unwanted_fds_.clear();
}

void SlirpSockets::on_ready(int fd, std::uint32_t events) {
  Entry& entry = entries_[static_cast<std::size_t>(fd)];
  const std::uint32_t wanted = entry.generation == generation_ ? entry.wanted : 0;
  // epoll(7) always reports EPOLLERR and EPOLLHUP. libslirp must get them if it wants any event of this socket.
  const std::uint32_t reported = wanted == 0 ? 0 : events & (wanted | EPOLLERR | EPOLLHUP);
  if (reported == 0) return unwanted_fds_.push_back(fd);
  entry.ready = reported;
  ready_fds_.push_back(fd);
}

void SlirpSockets::clear_ready() {
  for (const int fd : ready_fds_) entries_[static_cast<std::size_t>(fd)].ready = 0;
  ready_fds_.clear();
}

std::uint32_t SlirpSockets::ready(int fd) const {
  const Entry* const entry = find(fd);
  return entry == nullptr ? 0 : entry->ready;
}

bool SlirpSockets::has_local(const Endpoint& endpoint) const {
  for (std::size_t fd = entries_.size(); fd-- > 0;) {
    if (entries_[fd].kind != Kind::tcp) continue;
    SockAddr local;
    if (getsockname(static_cast<int>(fd), local.get(), &local.length) != 0) continue;
    const auto found = local.endpoint();
    if (found.ok() && found.value() == endpoint) return true;
  }
  return false;
}

}  // namespace nh
