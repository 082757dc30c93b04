// SPDX-License-Identifier: BSD-3-Clause
// bench-bare-relay: the least that a relay of TCP connections can be, as the reference of tools/bench/bench-forward and
// bench-outbound.
//
//   bench-bare-relay splice|copy --listen PORT --to PORT [--at ADDR]
//
// Listens on every IPv4 address and leads each client to ADDR, or 127.0.0.1. One thread, one epoll, both sockets edge-triggered;
// bytes go by splice(2) through a pipe of 1 MiB a direction, or by recv and send through one buffer of 1 MiB. No policy, no limit,
// no counter: it serves the bench's own clients alone.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <memory>
#include <unordered_map>
#include <vector>

#include "src/base/address.h"
#include "src/base/number.h"
#include "src/base/unique_fd.h"

namespace nh::bare {
namespace {

constexpr std::size_t batch = 1 << 20;
constexpr unsigned flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;

/// One way of a connection: false from pump() once its end has been handed on, or an error has ended it.
class Direction {
 public:
  virtual ~Direction() = default;
  bool pump(int from, int to) {
    while (open_) {
      if (waiting() != 0) {
        const auto sent = put(to);
        if (sent < 0) return open_ = errno == EAGAIN;
        continue;
      }
      const auto got = get(from);
      if (got < 0) return open_ = errno == EAGAIN;
      if (got == 0) {
        ::shutdown(to, SHUT_WR);
        open_ = false;
      }
    }
    return false;
  }

 private:
  virtual std::size_t waiting() const = 0;
  virtual ssize_t get(int from) = 0;
  virtual ssize_t put(int to) = 0;
  bool open_ = true;
};

class Splice final : public Direction {
 public:
  Splice() {
    std::array<int, 2> ends{-1, -1};
    if (::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) != 0) return;  // then every call fails, and the connection with it
    read_ = UniqueFd(ends[0]);
    write_ = UniqueFd(ends[1]);
    ::fcntl(write_.get(), F_SETPIPE_SZ, static_cast<int>(batch));
  }

 private:
  std::size_t waiting() const override { return waiting_; }
  ssize_t get(int from) override {
    const auto got = ::splice(from, nullptr, write_.get(), nullptr, batch, flags);
    if (got > 0) waiting_ += static_cast<std::size_t>(got);
    return got;
  }
  ssize_t put(int to) override {
    const auto sent = ::splice(read_.get(), nullptr, to, nullptr, waiting_, flags);
    if (sent > 0) waiting_ -= static_cast<std::size_t>(sent);
    return sent;
  }
  UniqueFd read_, write_;
  std::size_t waiting_ = 0;
};

class Copy final : public Direction {
 public:
  explicit Copy(std::vector<std::uint8_t>& shared) : shared_(shared) {}

 private:
  std::size_t waiting() const override { return kept_.size() - done_ + fresh_.size(); }
  ssize_t get(int from) override {
    const auto got = ::recv(from, shared_.data(), shared_.size(), 0);
    if (got > 0) fresh_ = Bytes(shared_).first(static_cast<std::size_t>(got));
    return got;
  }
  /// What does not go out at once is kept, so that the buffer is free for the next.
  ssize_t put(int to) override {
    const Bytes bytes = fresh_.empty() ? Bytes(kept_).subspan(done_) : fresh_;
    const auto sent = ::send(to, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (fresh_.empty()) {
      if (sent > 0) done_ += static_cast<std::size_t>(sent);
      if (done_ == kept_.size()) {
        kept_.clear();
        done_ = 0;
      }
      return sent;
    }
    if (sent >= 0 || errno == EAGAIN) {
      const auto rest = fresh_.subspan(sent > 0 ? static_cast<std::size_t>(sent) : 0);
      kept_.assign(rest.begin(), rest.end());
      done_ = 0;
      fresh_ = {};
    }
    return sent;
  }
  std::vector<std::uint8_t>& shared_;
  Bytes fresh_;
  std::vector<std::uint8_t> kept_;
  std::size_t done_ = 0;
};

struct Connection {
  UniqueFd client, server;
  std::unique_ptr<Direction> up, down;
  bool pump() {
    const bool first = up->pump(client.get(), server.get());
    const bool second = down->pump(server.get(), client.get());
    return first || second;
  }
};

class Relay {
 public:
  Relay(bool splice, const Endpoint& to) : splice_(splice), to_(to), shared_(splice ? 0 : batch) {}

  Result<Ok> run(std::uint16_t port) {
    listener_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
    if (!listener_ || !epoll_) return sys_error("making a socket");
    const int on = 1;
    ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const SockAddr name(Endpoint{Address::any(Family::v4), port});
    if (::bind(listener_.get(), name.get(), name.length) != 0 || ::listen(listener_.get(), SOMAXCONN) != 0) {
      return sys_error("listening");
    }
    watch(listener_.get(), EPOLLIN);
    watch(STDIN_FILENO, EPOLLIN);
    std::printf("ready\n");
    std::fflush(stdout);
    std::array<epoll_event, 64> events{};
    for (;;) {
      const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
      if (count < 0 && errno != EINTR) return sys_error("waiting for events");
      for (int i = 0; i < count; ++i) {
        const int fd = events[static_cast<std::size_t>(i)].data.fd;
        if (fd == STDIN_FILENO) return Ok{};
        if (fd == listener_.get()) {
          accept();
        } else {
          serve(fd);
        }
      }
    }
  }

 private:
  void watch(int fd, std::uint32_t wanted) {
    epoll_event event{};
    event.events = wanted;
    event.data.fd = fd;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  }

  std::unique_ptr<Direction> direction() {
    if (splice_) return std::make_unique<Splice>();
    return std::make_unique<Copy>(shared_);
  }

  void accept() {
    for (;;) {
      UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!client) return;
      UniqueFd server(::socket(to_.address.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      if (!server) return;
      const int on = 1;
      ::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      ::setsockopt(server.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      const SockAddr name(to_);
      if (::connect(server.get(), name.get(), name.length) != 0 && errno != EINPROGRESS) continue;
      const int first = client.get(), second = server.get();
      auto connection =
          std::make_shared<Connection>(Connection{std::move(client), std::move(server), direction(), direction()});
      connections_[first] = connections_[second] = std::move(connection);
      watch(first, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
      watch(second, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    }
  }

  void serve(int fd) {
    const auto found = connections_.find(fd);
    if (found == connections_.end()) return;  // ended earlier in this batch
    const auto connection = found->second;
    if (connection->pump()) return;
    connections_.erase(connection->client.get());
    connections_.erase(connection->server.get());
  }

  const bool splice_;
  const Endpoint to_;
  std::vector<std::uint8_t> shared_;
  UniqueFd listener_, epoll_;
  std::unordered_map<int, std::shared_ptr<Connection>> connections_;
};

int fail(const Error& error, int status) {
  std::fprintf(stderr, "bench-bare-relay: %s\n", error.message().c_str());
  return status;
}

int main(std::span<char* const> arguments) {
  const std::string_view usage = "bench-bare-relay splice|copy --listen PORT --to PORT [--at ADDR]";
  const bool placed = arguments.size() == 7 && std::string_view(arguments[5]) == "--at";
  if ((arguments.size() != 5 && !placed) || std::string_view(arguments[1]) != "--listen" ||
      std::string_view(arguments[3]) != "--to" ||
      (std::string_view(arguments[0]) != "splice" && std::string_view(arguments[0]) != "copy")) {
    return fail(Error{Code::invalid, 0, std::string(usage)}, 2);
  }
  const auto listen = Port::parse(arguments[2], "--listen"), to = Port::parse(arguments[4], "--to");
  if (!listen || !to) return fail(!listen ? listen.error() : to.error(), 2);
  const auto at = Address::parse(placed ? arguments[6] : "127.0.0.1", "--at");
  if (!at) return fail(at.error(), 2);
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  ::signal(SIGPIPE, SIG_IGN);  // splice has no MSG_NOSIGNAL
  const auto ran = Relay(std::string_view(arguments[0]) == "splice", Endpoint{*at, to->value()}).run(listen->value());
  return ran ? 0 : fail(ran.error(), 1);
}

}  // namespace
}  // namespace nh::bare

int main(int argc, char** argv) {
  return nh::bare::main({argv + 1, static_cast<std::size_t>(argc > 0 ? argc - 1 : 0)});
}
