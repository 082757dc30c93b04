// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/slirp/slirp_sockets.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/catch.h"

using namespace nh;

namespace {

using Kind = SlirpSockets::Kind;

bool readable(int fd) {
  pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&entry, 1, 0) == 1;
}

struct UdpPair {
  UniqueFd receiver{socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  Endpoint at;
  UdpPair() {
    SockAddr any(Endpoint{Address::loopback(Family::v4), 0});
    REQUIRE(bind(receiver.get(), any.get(), any.length) == 0);
    REQUIRE(getsockname(receiver.get(), any.get(), &any.length) == 0);
    at = any.endpoint().value();
  }
  void send() const {
    const SockAddr to(at);
    REQUIRE(sendto(receiver.get(), "x", 1, 0, to.get(), to.length) == 1);
  }
};

}  // namespace

TEST_CASE("sockets are counted by kind until they close", "[slirp]") {
  SlirpSockets sockets = SlirpSockets::create().value();
  const UniqueFd tcp(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const UniqueFd listener(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const UdpPair udp;
  sockets.opened(tcp.get());
  sockets.opened(udp.receiver.get());
  sockets.opened(listener.get());
  CHECK(sockets.last_opened() == listener.get());
  sockets.mark_listener(listener.get());
  CHECK(sockets.count(Kind::tcp) == 1);
  CHECK(sockets.count(Kind::udp) == 1);
  CHECK(sockets.count(Kind::listener) == 1);
  sockets.closing(tcp.get());
  CHECK(sockets.count(Kind::tcp) == 0);
}

TEST_CASE("an event that is no longer wanted is told once to us and never to libslirp", "[slirp]") {
  SlirpSockets sockets = SlirpSockets::create().value();
  const UdpPair udp;
  const int fd = udp.receiver.get();
  sockets.opened(fd);
  sockets.begin_fill();
  sockets.want(fd, EPOLLIN);
  udp.send();
  sockets.collect();
  CHECK(sockets.ready(fd) == EPOLLIN);

  sockets.begin_fill();  // libslirp does not name it this time
  CHECK(readable(sockets.poll_fd()));
  sockets.collect();
  CHECK(sockets.ready(fd) == 0);
  CHECK_FALSE(readable(sockets.poll_fd()));  // or the loop would spin

  sockets.begin_fill();
  sockets.want(fd, EPOLLIN);
  sockets.collect();
  CHECK(sockets.ready(fd) == EPOLLIN);
}

TEST_CASE("paused listeners are left alone until they are resumed", "[slirp]") {
  SlirpSockets sockets = SlirpSockets::create().value();
  const UdpPair stand_in_for_a_listener;
  const int fd = stand_in_for_a_listener.receiver.get();
  sockets.opened(fd);
  sockets.mark_listener(fd);
  stand_in_for_a_listener.send();
  const auto turn = [&] {
    sockets.begin_fill();
    sockets.want(fd, EPOLLIN);
    sockets.collect();
    return sockets.ready(fd);
  };
  CHECK(turn() == EPOLLIN);
  sockets.pause_listeners(true);
  CHECK(turn() == 0);
  CHECK_FALSE(readable(sockets.poll_fd()));
  sockets.pause_listeners(false);
  CHECK(turn() == EPOLLIN);
}

TEST_CASE("a reused descriptor starts afresh", "[slirp]") {
  SlirpSockets sockets = SlirpSockets::create().value();
  int fd = -1;
  {
    const UdpPair udp;
    fd = udp.receiver.get();
    sockets.opened(fd);
    sockets.begin_fill();
    sockets.want(fd, EPOLLIN);
    udp.send();
    sockets.collect();
    sockets.closing(fd);
  }
  const UdpPair again;
  REQUIRE(again.receiver.get() == fd);
  sockets.opened(fd);
  CHECK(sockets.ready(fd) == 0);
  sockets.begin_fill();
  sockets.want(fd, EPOLLIN);
  again.send();
  sockets.collect();
  CHECK(sockets.ready(fd) == EPOLLIN);
}

TEST_CASE("our own flows are known by their local end", "[slirp]") {
  SlirpSockets sockets = SlirpSockets::create().value();
  const UniqueFd tcp(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  SockAddr local(Endpoint{Address::loopback(Family::v4), 0});
  REQUIRE(bind(tcp.get(), local.get(), local.length) == 0);
  REQUIRE(getsockname(tcp.get(), local.get(), &local.length) == 0);
  const Endpoint endpoint = local.endpoint().value();
  CHECK_FALSE(sockets.has_local(endpoint));
  sockets.opened(tcp.get());
  CHECK(sockets.has_local(endpoint));
  CHECK_FALSE(sockets.has_local(Endpoint{endpoint.address, 1}));
}
