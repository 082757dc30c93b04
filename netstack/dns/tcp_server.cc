// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/dns/tcp_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "src/base/limits.h"
#include "src/base/log.h"

namespace nh {

class DnsTcpServer::Listener final : public EpollSet::Handler {
 public:
  Listener(DnsTcpServer& server, UniqueFd fd, const Endpoint& bound) : server_(server), fd_(std::move(fd)), bound_(bound) {}
  ~Listener() override {
    if (watched_) server_.setup_.epoll->remove(fd_.get());
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  Result<> watch() {
    NH_TRY(server_.setup_.epoll->add(fd_.get(), EPOLLIN, *this));
    watched_ = true;
    return Ok{};
  }
  const Endpoint& bound() const { return bound_; }
  Instant deadline() const { return resume_; }
  void expire(Instant now) {
    if (resume_ > now) return;
    resume_ = Instant::max();
    server_.setup_.epoll->modify(fd_.get(), EPOLLIN);
  }

  void on_ready(int, std::uint32_t) override {
    constexpr int turn = 16;  // connections accepted in one turn; the rest wait for the next
    for (int i = 0; i < turn; ++i) {
      SockAddr peer;
      UniqueFd fd(accept4(fd_.get(), peer.get(), &peer.length, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (fd) {
        server_.accepted(std::move(fd), peer);
        continue;
      }
      // Without fds or memory the connection stays queued and the listener readable; without a pause the loop would spin.
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) rest();
      return;
    }
  }

 private:
  void rest() {
    log::rate_limited(log::Level::warning, "dns accept", sys_error("accepting a DNS connection").message());
    server_.setup_.epoll->modify(fd_.get(), 0);
    resume_ = server_.setup_.clock->now() + limits::dns_accept_pause;
  }

  DnsTcpServer& server_;
  UniqueFd fd_;
  Endpoint bound_;
  bool watched_ = false;
  Instant resume_ = Instant::max();
};

DnsTcpServer::DnsTcpServer(Setup setup) : setup_(std::move(setup)) {}
DnsTcpServer::~DnsTcpServer() = default;

Result<> DnsTcpServer::open() {
  for (const Family family : {Family::v4, Family::v6}) {
    auto opened = open(family);
    if (opened || opened.error().code == Code::missing || opened.error().code == Code::unsupported) continue;
    return std::move(opened).error();
  }
  return Ok{};
}

Result<> DnsTcpServer::open(Family family) {
  const Endpoint wanted{Address::loopback(family), 0};
  const SockAddr address(wanted);
  UniqueFd fd(socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd || bind(fd.get(), address.get(), address.length) != 0 || listen(fd.get(), limits::dns_tcp_clients) != 0)
    return sys_error("listening for DNS on " + wanted.text());
  SockAddr bound;
  if (getsockname(fd.get(), bound.get(), &bound.length) != 0) return sys_error("reading the address of the DNS listener");
  NH_LET(endpoint, bound.endpoint());
  auto& listener = family == Family::v4 ? v4_ : v6_;
  listener = std::make_unique<Listener>(*this, std::move(fd), endpoint);
  return listener->watch();
}

std::optional<Endpoint> DnsTcpServer::listener(Family family) const {
  const auto& listener = family == Family::v4 ? v4_ : v6_;
  return listener ? std::optional(listener->bound()) : std::nullopt;
}

void DnsTcpServer::accepted(UniqueFd fd, const SockAddr& peer) {
  auto endpoint = peer.endpoint();
  if (!endpoint || !setup_.is_own_flow || !setup_.is_own_flow(*endpoint)) {
    ++refused_;
    return;
  }
  const int on = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // a failure costs only delay
  serve(std::move(fd));
}

void DnsTcpServer::serve(UniqueFd fd) {
  if (clients_.size() >= limits::dns_tcp_clients) {
    ++refused_;
    return;
  }
  const std::uint64_t number = ++last_client_;
  auto client = DnsTcpClient::create(
      {setup_.epoll, setup_.clock, setup_.queries, &counters_, [this, number] { clients_.erase(number); }}, std::move(fd));
  if (client)
    clients_.emplace(number, std::move(client).value());
  else
    ++refused_;
}

Instant DnsTcpServer::next_deadline() const {
  Instant next = Instant::max();
  for (const auto& [number, client] : clients_) next = std::min(next, client->deadline());
  for (const Listener* listener : {v4_.get(), v6_.get()})
    if (listener != nullptr) next = std::min(next, listener->deadline());
  return next;
}

void DnsTcpServer::expire() {
  const Instant now = setup_.clock->now();
  std::erase_if(clients_, [now](const auto& entry) { return entry.second->deadline() <= now; });
  for (Listener* listener : {v4_.get(), v6_.get()})
    if (listener != nullptr) listener->expire(now);
}

}  // namespace nh
