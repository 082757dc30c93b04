// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/slirp/slirp_sockets.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>

#include "src/base/log.h"

namespace nh {
namespace {

// Events taken by one epoll_wait(2).
constexpr std::size_t batch = 256;

SlirpSockets::Kind kind_of(int fd) {
  int protocol = 0;
  socklen_t size = sizeof protocol;
  if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) != 0) return SlirpSockets::Kind::tcp;
  if (protocol == IPPROTO_UDP) return SlirpSockets::Kind::udp;
  if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6) return SlirpSockets::Kind::icmp;
  return SlirpSockets::Kind::tcp;
}

}  // namespace

Result<SlirpSockets> SlirpSockets::create() {
  SlirpSockets sockets;
  sockets.epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!sockets.epoll_) return sys_error("making an epoll set for libslirp");
  return sockets;
}

void SlirpSockets::opened(int fd) {
  const auto index = static_cast<std::size_t>(fd);
  if (index >= entries_.size()) entries_.resize(index + 1);
  entries_[index] = Entry{.kind = kind_of(fd)};
  ++counts_[static_cast<std::size_t>(entries_[index].kind)];
  last_opened_ = fd;
}

void SlirpSockets::closing(int fd) {
  Entry& entry = entries_[static_cast<std::size_t>(fd)];
  --counts_[static_cast<std::size_t>(entry.kind)];
  entry = Entry{};
}

void SlirpSockets::mark_listener(int fd) {
  Entry& entry = entries_[static_cast<std::size_t>(fd)];
  --counts_[static_cast<std::size_t>(entry.kind)];
  entry.kind = Kind::listener;
  ++counts_[static_cast<std::size_t>(Kind::listener)];
}

void SlirpSockets::set_registered(int fd, Entry& entry, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  const int operation = entry.registered == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
  if (epoll_ctl(epoll_.get(), operation, fd, &event) == 0)
    entry.registered = events;
  else
    log::rate_limited(log::Level::error, "slirp-epoll", sys_error("watching a socket of libslirp").message());
}

void SlirpSockets::want(int fd, std::uint32_t events) {
  Entry& entry = entries_[static_cast<std::size_t>(fd)];
  if (entry.kind == Kind::listener && listeners_paused_) events = 0;
  entry.wanted = events;
  entry.generation = generation_;
  if ((events & ~entry.registered) != 0) set_registered(fd, entry, events);
}

void SlirpSockets::collect() {
  for (const int fd : ready_fds_) entries_[static_cast<std::size_t>(fd)].ready = 0;
  ready_fds_.clear();
  std::array<epoll_event, batch> events;
  const int count = epoll_wait(epoll_.get(), events.data(), batch, 0);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    Entry& entry = entries_[static_cast<std::size_t>(event.data.fd)];
    const std::uint32_t wanted = entry.generation == generation_ ? entry.wanted : 0;
    // EPOLLERR and EPOLLHUP are always reported; whoever wants anything must hear of them.
    const std::uint32_t told = wanted == 0 ? 0 : event.events & (wanted | EPOLLERR | EPOLLHUP);
    if (told == 0) {
      set_registered(event.data.fd, entry, wanted);
      continue;
    }
    entry.ready = told;
    ready_fds_.push_back(event.data.fd);
  }
}

std::uint32_t SlirpSockets::ready(int fd) const {
  const auto index = static_cast<std::size_t>(fd);
  return index < entries_.size() ? entries_[index].ready : 0;
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
