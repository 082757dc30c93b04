// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/dns/resolver_socket.h"

#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <cerrno>

#include "netstack/dns/message.h"
#include "src/base/limits.h"

namespace nh {
namespace {

class UdpResolverSocket final : public ResolverSocket {
 public:
  explicit UdpResolverSocket(const Request& request) : ResolverSocket(request) {}

  Result<> start() {
    NH_TRY(connect(SOCK_DGRAM, EPOLLIN));
    const std::vector<std::uint8_t> query = query_on_wire();
    // A datagram for which the kernel has no room is as one lost by the network: sent again after limits::dns_try.
    if (send(fd_.get(), query.data(), query.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN && errno != ENOBUFS)
      return sys_error("asking " + request_.server.address.text());
    return Ok{};
  }

  void ask_again() override {
    const std::vector<std::uint8_t> query = query_on_wire();
    // Refused or unreachable is then reported by the socket as an event.
    (void)send(fd_.get(), query.data(), query.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  void on_ready(int, std::uint32_t) override {
    constexpr int turn = 8;  // datagrams read in one turn; the rest wait for the next
    static thread_local std::uint8_t buffer[dns::largest_message];
    for (int i = 0; i < turn; ++i) {
      const ssize_t size = recv(fd_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
      if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (size < 0) return request_.owner->on_failure(*this);
      const MutableBytes answer(buffer, static_cast<std::size_t>(size));
      if (fits(answer)) return request_.owner->on_answer(*this, answer);
      request_.owner->on_ignored_answer();
      if (++ignored_ >= limits::dns_ignored_answers) return request_.owner->on_failure(*this);
    }
  }

 private:
  std::size_t ignored_ = 0;
};

class TcpResolverSocket final : public ResolverSocket {
 public:
  explicit TcpResolverSocket(const Request& request) : ResolverSocket(request) {}

  Result<> start() {
    const std::vector<std::uint8_t> query = query_on_wire();
    output_ = {static_cast<std::uint8_t>(query.size() >> 8), static_cast<std::uint8_t>(query.size())};
    output_.insert(output_.end(), query.begin(), query.end());
    return connect(SOCK_STREAM, EPOLLOUT);
  }

  void on_ready(int, std::uint32_t) override {
    const bool going_on = sent_ < output_.size() ? write() : read();
    if (!going_on)
      request_.owner->on_failure(*this);
    else if (complete())
      finish();
  }

 private:
  static constexpr std::size_t prefix = 2;

  bool write() {
    const ssize_t size = send(fd_.get(), output_.data() + sent_, output_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    sent_ += static_cast<std::size_t>(size);
    if (sent_ == output_.size()) request_.epoll->modify(fd_.get(), EPOLLIN);
    return true;
  }

  std::size_t expected() const {
    return input_.size() < prefix ? prefix : prefix + (std::size_t{input_[0]} << 8 | input_[1]);
  }
  bool complete() const { return input_.size() >= prefix && input_.size() == expected(); }

  // Reads no more than this answer, by one system call a turn, so that a large answer delays nothing else.
  bool read() {
    const std::size_t had = input_.size();
    input_.resize(expected());
    const ssize_t size = recv(fd_.get(), input_.data() + had, input_.size() - had, MSG_DONTWAIT);
    const int err = errno;
    input_.resize(had + (size > 0 ? static_cast<std::size_t>(size) : 0));
    return size > 0 || (size < 0 && (err == EAGAIN || err == EINTR));
  }

  void finish() {
    const MutableBytes answer = MutableBytes(input_).subspan(prefix);
    if (fits(answer)) return request_.owner->on_answer(*this, answer);
    request_.owner->on_ignored_answer();
    request_.owner->on_failure(*this);
  }

  std::vector<std::uint8_t> output_, input_;
  std::size_t sent_ = 0;
};

template <class Socket>
Result<std::unique_ptr<ResolverSocket>> started(const ResolverSocket::Request& request) {
  auto socket = std::make_unique<Socket>(request);
  NH_TRY(socket->start());
  return std::unique_ptr<ResolverSocket>(std::move(socket));
}

}  // namespace

std::uint16_t RandomIds::next() {
  if (stock_.empty()) {
    constexpr std::size_t many = 128;  // 256 bytes: getrandom(2) returns up to that in one piece
    stock_.resize(many);
    const auto size = static_cast<ssize_t>(many * sizeof(std::uint16_t));
    NH_BUG_IF(getrandom(stock_.data(), static_cast<std::size_t>(size), 0) != size);
  }
  const std::uint16_t id = stock_.back();
  stock_.pop_back();
  return id;
}

Result<std::unique_ptr<ResolverSocket>> ResolverSocket::ask(Via via, const Request& request) {
  return via == Via::udp ? started<UdpResolverSocket>(request) : started<TcpResolverSocket>(request);
}

ResolverSocket::~ResolverSocket() {
  if (watched_) request_.epoll->remove(fd_.get());
}

Result<> ResolverSocket::connect(int type, std::uint32_t events) {
  const Address& address = request_.server.address;
  fd_.reset(socket(address.is_v4() ? AF_INET : AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd_) return sys_error("making a socket for the resolver " + address.text());
  if (request_.source) {
    const SockAddr source(Endpoint{*request_.source, 0});
    if (bind(fd_.get(), source.get(), source.length) != 0) return sys_error("binding to " + request_.source->text());
  }
  const SockAddr to(Endpoint{address, request_.port}, request_.server.scope);
  if (::connect(fd_.get(), to.get(), to.length) != 0 && errno != EINPROGRESS)
    return sys_error("connecting to the resolver " + address.text());
  NH_TRY(request_.epoll->add(fd_.get(), events, *this));
  watched_ = true;
  return Ok{};
}

std::vector<std::uint8_t> ResolverSocket::query_on_wire() const {
  std::vector<std::uint8_t> query = *request_.query;
  dns::set_id(query, request_.id);
  return query;
}

bool ResolverSocket::fits(Bytes answer) const {
  return dns::answers(answer, *request_.query) && dns::id(answer) == request_.id;
}

}  // namespace nh
