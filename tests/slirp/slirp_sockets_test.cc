// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/slirp/slirp_sockets.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/catch.h"

using namespace nh;

namespace {

using Kind = SlirpSockets::Kind;

// The sockets in an epoll that nobody but the test dispatches.
struct Watched {
  Loop loop;
  EpollSet epoll = EpollSet::create(loop).value();
  SlirpSockets sockets{epoll};
};

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
  Watched watched;
  SlirpSockets& sockets = watched.sockets;
  const UniqueFd tcp(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const UniqueFd listener(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const UdpPair udp;
  sockets.opened(tcp.get());
  sockets.opened(udp.receiver.get());
  sockets.opened_listener(listener.get());
  CHECK(sockets.count(Kind::tcp) == 1);
  CHECK(sockets.count(Kind::udp) == 1);
  CHECK(sockets.count(Kind::listener) == 1);
  sockets.closing(tcp.get());
  CHECK(sockets.count(Kind::tcp) == 0);
  sockets.closing(tcp.get());  // libslirp closes what it has not told of, too
  sockets.closing(100000);
  CHECK(sockets.count(Kind::tcp) == 0);
  sockets.opened(listener.get());  // the number has got another owner
  CHECK(sockets.count(Kind::listener) == 0);
  CHECK(sockets.count(Kind::tcp) == 1);
}

TEST_CASE("an event that is no longer wanted is told once to us and never to libslirp", "[slirp]") {
  Watched watched;
  SlirpSockets& sockets = watched.sockets;
  const UdpPair udp;
  const int fd = udp.receiver.get();
  sockets.opened(fd);
  sockets.begin_fill();
  sockets.want(fd, EPOLLIN);
  sockets.end_fill();
  udp.send();
  watched.epoll.dispatch();
  CHECK(sockets.ready(fd) == EPOLLIN);

  sockets.begin_fill();  // libslirp does not name it this time
  sockets.end_fill();
  sockets.clear_ready();
  CHECK(watched.epoll.dispatch());
  CHECK(sockets.ready(fd) == 0);
  sockets.begin_fill();
  sockets.end_fill();
  CHECK_FALSE(watched.epoll.dispatch());  // or the loop would spin

  sockets.begin_fill();
  sockets.want(fd, EPOLLIN);
  sockets.end_fill();
  watched.epoll.dispatch();
  CHECK(sockets.ready(fd) == EPOLLIN);
}

TEST_CASE("paused listeners are left alone until they are resumed", "[slirp]") {
  Watched watched;
  SlirpSockets& sockets = watched.sockets;
  const UdpPair stand_in_for_a_listener;
  const int fd = stand_in_for_a_listener.receiver.get();
  sockets.opened_listener(fd);
  stand_in_for_a_listener.send();
  const auto turn = [&] {
    sockets.begin_fill();
    sockets.want(fd, EPOLLIN);
    sockets.end_fill();
    sockets.clear_ready();
    watched.epoll.dispatch();
    return sockets.ready(fd);
  };
  CHECK(turn() == EPOLLIN);
  sockets.pause_listeners(true);
  CHECK(turn() == 0);
  CHECK(turn() == 0);
  CHECK_FALSE(watched.epoll.dispatch());
  sockets.pause_listeners(false);
  CHECK(turn() == EPOLLIN);
}

TEST_CASE("a reused descriptor starts afresh", "[slirp]") {
  Watched watched;
  SlirpSockets& sockets = watched.sockets;
  int fd = -1;
  {
    const UdpPair udp;
    fd = udp.receiver.get();
    sockets.opened(fd);
    sockets.begin_fill();
    sockets.want(fd, EPOLLIN);
    sockets.end_fill();
    udp.send();
    watched.epoll.dispatch();
    sockets.closing(fd);
  }
  const UdpPair again;
  REQUIRE(again.receiver.get() == fd);
  sockets.opened(fd);
  CHECK(sockets.ready(fd) == 0);
  sockets.begin_fill();
  sockets.want(fd, EPOLLIN);
  sockets.end_fill();
  again.send();
  watched.epoll.dispatch();
  CHECK(sockets.ready(fd) == EPOLLIN);
}

TEST_CASE("our own flows are known by their local end", "[slirp]") {
  Watched watched;
  SlirpSockets& sockets = watched.sockets;
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

TEST_CASE("a socket that was not announced is watched once it is wanted, whatever its number", "[slirp]") {
  Watched watched;
  SlirpSockets& sockets = watched.sockets;
  const UdpPair udp;
  const UniqueFd far(fcntl(udp.receiver.get(), F_DUPFD_CLOEXEC, 1000));
  REQUIRE(far);
  CHECK(sockets.ready(far.get()) == 0);
  sockets.begin_fill();
  sockets.want(far.get(), EPOLLIN);
  sockets.end_fill();
  CHECK(sockets.count(Kind::udp) == 1);
  udp.send();
  watched.epoll.dispatch();
  CHECK(sockets.ready(far.get()) == EPOLLIN);
  sockets.closing(far.get());
  CHECK(sockets.count(Kind::udp) == 0);
}

TEST_CASE("a socket that could not be made changes nothing", "[slirp]") {
  Watched watched;
  SlirpSockets& sockets = watched.sockets;
  const UdpPair udp;
  sockets.opened(udp.receiver.get());
  sockets.opened(-1);
  sockets.begin_fill();
  sockets.want(-1, EPOLLIN);
  sockets.end_fill();
  CHECK(sockets.ready(-1) == 0);
  sockets.closing(-1);
  CHECK(sockets.count(Kind::udp) == 1);
  CHECK(sockets.count(Kind::tcp) == 0);
}
