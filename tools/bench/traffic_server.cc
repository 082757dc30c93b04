// SPDX-License-Identifier: BSD-3-Clause
#include "tools/bench/traffic_server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <unordered_map>
#include <vector>

#include "src/base/unique_fd.h"
#include "tools/bench/traffic_wire.h"

namespace nh::traffic {
namespace {

/// One TCP connection: first its order, then what the order says.
class Connection {
 public:
  /// `datagrams`: how many the server has sunk.
  Connection(UniqueFd fd, std::span<std::uint8_t> block, const std::uint64_t& datagrams)
      : fd_(std::move(fd)), block_(block), datagrams_(datagrams) {}
  int fd() const { return fd_.get(); }
  std::uint32_t wanted() const { return order_ && order_->mode == Mode::source ? EPOLLOUT : EPOLLIN; }

  /// Does what can be done without waiting; false when the connection has ended.
  bool serve() {
    if (!order_ && !read_order()) return open_;
    switch (order_->mode) {
      case Mode::sink:
        return sink();
      case Mode::source:
        return source();
      case Mode::echo:
        return echo();
      case Mode::count:
        return tell(encode_number(datagrams_));
      case Mode::peer:
        return tell_peer();
    }
    return false;
  }

 private:
  /// True once the order is whole.
  bool read_order() {
    const auto got = ::recv(fd(), head_.data() + have_, order_size - have_, 0);
    if (got <= 0) {
      open_ = got < 0 && errno == EAGAIN;
      return false;
    }
    have_ += static_cast<std::size_t>(got);
    if (have_ < order_size) return false;
    order_ = decode(head_);
    open_ = order_.has_value();
    return open_;
  }

  bool sink() {
    for (int turn = 0; turn < turns; ++turn) {
      const auto got = ::recv(fd(), block_.data(), block_.size(), 0);
      if (got < 0) return errno == EAGAIN;
      if (got == 0) {
        return tell(encode_number(moved_));
      }
      moved_ += static_cast<std::uint64_t>(got);
    }
    return true;
  }

  /// A few bytes into an empty send buffer: they fit, and what follows is the end either way.
  bool tell(Bytes bytes) const {
    static_cast<void>(::send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
    return false;
  }

  bool tell_peer() const {
    SockAddr name;
    if (::getpeername(fd(), name.get(), &name.length) != 0) return false;
    const auto peer = name.endpoint();
    if (!peer) return false;
    const std::string text = peer->address.text();
    return tell(Bytes(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
  }

  bool source() {
    for (int turn = 0; turn < turns; ++turn) {
      std::size_t size = block_.size();
      if (order_->number != 0) size = std::min<std::uint64_t>(size, order_->number - moved_);
      if (size == 0) return false;
      const auto sent = ::send(fd(), block_.data(), size, MSG_NOSIGNAL);
      if (sent < 0) return errno == EAGAIN;
      moved_ += static_cast<std::uint64_t>(sent);
    }
    return true;
  }

  bool echo() {
    const auto got = ::recv(fd(), block_.data(), message_max, 0);
    if (got <= 0) return got < 0 && errno == EAGAIN;
    return ::send(fd(), block_.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) == got;
  }

  static constexpr int turns = 8;  ///< blocks for one connection before the others get their turn

  UniqueFd fd_;
  std::span<std::uint8_t> block_;
  const std::uint64_t& datagrams_;
  std::array<std::uint8_t, order_size> head_{};
  std::size_t have_ = 0;
  std::optional<Order> order_;
  std::uint64_t moved_ = 0;
  bool open_ = true;
};

/// One socket bound to address:port (0: any).
Result<UniqueFd> bound(const Address& address, std::uint16_t port, int type) {
  UniqueFd fd(::socket(address.is_v4() ? AF_INET : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return sys_error("making a socket");
  const int on = 1;  // connections of a server before us may be in TIME_WAIT
  if (type == SOCK_STREAM) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const SockAddr name(Endpoint{address, port});
  if (::bind(fd.get(), name.get(), name.length) != 0) return sys_error("binding " + Endpoint{address, port}.text());
  return fd;
}

struct Sockets {
  UniqueFd tcp, udp;
  std::uint16_t port = 0;
};

/// A TCP and a UDP socket on the same port; 0: a free one.
Result<Sockets> open_sockets(const Address& address, std::uint16_t wanted) {
  constexpr int tries = 16;  // a port that is free for TCP may be taken for UDP
  for (int i = 0;; ++i) {
    NH_LET(tcp, bound(address, wanted, SOCK_STREAM));
    SockAddr name;
    if (::getsockname(tcp.get(), name.get(), &name.length) != 0) return sys_error("asking for the port");
    NH_LET(endpoint, name.endpoint());
    auto udp = bound(address, endpoint.port, SOCK_DGRAM);
    if (!udp && wanted == 0 && i < tries) continue;
    if (!udp) return std::move(udp).error();
    // As much as the machine allows; a burst is not to be the server's loss.
    const int room = 4 << 20;
    ::setsockopt(udp->get(), SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (::listen(tcp.get(), SOMAXCONN) != 0) return sys_error("listening");
    return Sockets{std::move(tcp), std::move(udp).value(), endpoint.port};
  }
}

class Server {
 public:
  Server(Sockets sockets, UniqueFd epoll) : sockets_(std::move(sockets)), epoll_(std::move(epoll)), block_(block_size) {}

  Result<Ok> run() {
    NH_TRY(watch(sockets_.tcp.get(), EPOLLIN, EPOLL_CTL_ADD));
    NH_TRY(watch(sockets_.udp.get(), EPOLLIN, EPOLL_CTL_ADD));
    // A file or /dev/null cannot be watched; then only a signal ends us.
    static_cast<void>(watch(STDIN_FILENO, EPOLLIN, EPOLL_CTL_ADD));
    std::array<epoll_event, 64> events{};
    for (;;) {
      const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
      if (count < 0 && errno != EINTR) return sys_error("waiting for events");
      for (int i = 0; i < count; ++i) {
        const int fd = events[static_cast<std::size_t>(i)].data.fd;
        if (fd == STDIN_FILENO) return Ok{};
        if (fd == sockets_.udp.get()) {
          take_datagrams();
        } else if (fd == sockets_.tcp.get()) {
          NH_TRY(accept());
        } else {
          NH_TRY(serve(fd));
        }
      }
    }
  }

 private:
  Result<Ok> watch(int fd, std::uint32_t wanted, int how) {
    epoll_event event{};
    event.events = wanted;
    event.data.fd = fd;
    if (::epoll_ctl(epoll_.get(), how, fd, &event) != 0) return sys_error("watching a descriptor");
    return Ok{};
  }

  Result<Ok> accept() {
    UniqueFd fd(::accept4(sockets_.tcp.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return Ok{};  // gone again, or no descriptor left: the client sees it
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const int number = fd.get();
    NH_TRY(watch(number, EPOLLIN, EPOLL_CTL_ADD));
    connections_[number] = std::make_unique<Connection>(std::move(fd), std::span(block_), datagrams_);
    return Ok{};
  }

  Result<Ok> serve(int fd) {
    const auto found = connections_.find(fd);
    if (found == connections_.end()) return Ok{};  // ended earlier in this batch
    const auto before = found->second->wanted();
    if (!found->second->serve()) {
      connections_.erase(found);
      return Ok{};
    }
    const auto after = found->second->wanted();
    return after == before ? Result<Ok>(Ok{}) : watch(fd, after, EPOLL_CTL_MOD);
  }

  void take_datagrams() {
    for (int turn = 0; turn < datagram_turns; ++turn) {
      SockAddr from;
      const auto got = ::recvfrom(sockets_.udp.get(), block_.data(), block_.size(), 0, from.get(), &from.length);
      if (got < 0) return;
      if (got > 0 && block_[0] == static_cast<std::uint8_t>(Mode::sink)) {
        ++datagrams_;
        continue;
      }
      // A datagram that does not fit now is lost, as datagrams are.
      static_cast<void>(
          ::sendto(sockets_.udp.get(), block_.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL, from.get(), from.length));
    }
  }

  static constexpr int datagram_turns = 64;  ///< datagrams before the connections get their turn

  Sockets sockets_;
  UniqueFd epoll_;
  std::vector<std::uint8_t> block_;
  std::uint64_t datagrams_ = 0;
  std::unordered_map<int, std::unique_ptr<Connection>> connections_;
};

}  // namespace

Result<Ok> serve(const Endpoint& at) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  NH_LET(sockets, open_sockets(at.address, at.port));
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return sys_error("making an epoll");
  std::printf("{\"port\": %u}\n", static_cast<unsigned>(sockets.port));
  std::fflush(stdout);
  return Server(std::move(sockets), std::move(epoll)).run();
}

}  // namespace nh::traffic
