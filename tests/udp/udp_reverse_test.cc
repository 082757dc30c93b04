// SPDX-License-Identifier: BSD-3-Clause
// Both sides are sockets of the test's own namespace; which namespace they are of means nothing to UdpReverse.
#include "netstack/udp/udp_reverse.h"

#include "netstack/relay/listener.h"
#include "tests/support/catch.h"
#include "tests/support/host_socket.h"

namespace nh::test {
namespace {

struct ReverseFixture {
  explicit ReverseFixture(std::size_t max_flows = 100)
      : reverse({.epoll = &epoll, .clock = &clock, .ids = &ids, .max_flows = max_flows}) {
    auto socket = open_listener(Transport::udp, at("127.0.0.1", 0));
    REQUIRE(socket);
    guest = socket->bound;
    const auto bound = reverse.add(1, 7, std::move(socket->fd), Destination{.host = service.name()});
    REQUIRE(bound);
    CHECK(*bound == guest);
  }
  HostDatagram received(const HostSocket& socket) {
    std::optional<HostDatagram> datagram;
    REQUIRE(until([&] {
      epoll.dispatch();
      return (datagram = socket.receive()).has_value();
    }));
    return *datagram;
  }

  Loop loop;
  EpollSet epoll = EpollSet::create(loop).value();
  ManualClock clock;
  FlowIds ids;
  HostSocket service = HostSocket::udp("127.0.0.1");
  UdpReverse reverse;
  Endpoint guest;
};

TEST_CASE("each client in the guest has its own socket on the host, and its own answers") {
  constexpr std::size_t many = 20;
  ReverseFixture f;
  std::vector<HostSocket> clients;
  std::vector<Endpoint> seen;
  for (std::size_t i = 0; i < many; ++i) {
    clients.push_back(HostSocket::udp("127.0.0.1"));
    clients.back().send_to(f.guest, text(std::to_string(i)));
    const HostDatagram got = f.received(f.service);
    CHECK(got.text() == std::to_string(i));
    CHECK(std::find(seen.begin(), seen.end(), got.from) == seen.end());
    seen.push_back(got.from);
  }
  for (std::size_t i = 0; i < many; ++i) {
    f.service.send_to(seen[i], text("to " + std::to_string(i)));
    const HostDatagram back = f.received(clients[i]);
    CHECK(back.text() == "to " + std::to_string(i));
    CHECK(back.from == f.guest);
  }
  CHECK(f.reverse.of_rule(7).flows == many);
  CHECK(f.reverse.of_rule(7).bytes_to_guest > 0);
  const auto flows = f.reverse.flows({0, many, 7});
  REQUIRE(flows.size() == many);
  CHECK(flows[0].guest == clients[0].name());
  CHECK(flows[0].host_local == seen[0]);
  CHECK(flows[0].direction == FlowDirection::out);
  CHECK(f.reverse.flows({flows[0].id, 1, std::nullopt})[0].id == flows[1].id);
  CHECK(f.reverse.flows({0, many, 8}).empty());
  CHECK(f.reverse.kill(flows[0].id));
  CHECK_FALSE(f.reverse.kill(flows[0].id));
  CHECK(f.reverse.of_rule(7).flows == many - 1);
}

TEST_CASE("a reverse client that says nothing more is forgotten, later if it was answered") {
  ReverseFixture f;
  const HostSocket quiet = HostSocket::udp("127.0.0.1"), answered = HostSocket::udp("127.0.0.1");
  CHECK(f.reverse.next_deadline() == Instant::max());
  quiet.send_to(f.guest, text("a"));
  f.received(f.service);
  answered.send_to(f.guest, text("b"));
  f.service.send_to(f.received(f.service).from, text("c"));
  f.received(answered);
  f.clock.advance(limits::udp_idle_unanswered);
  CHECK(f.reverse.next_deadline() <= f.clock.now());
  f.reverse.expire();
  CHECK(f.reverse.of_rule(7).flows == 1);
  f.clock.advance(limits::udp_idle_answered - limits::udp_idle_unanswered);
  f.reverse.expire();
  CHECK(f.reverse.of_rule(7).flows == 0);
}

TEST_CASE("a full table of reverse clients turns new ones away; a service that comes back is heard") {
  ReverseFixture f(1);
  const HostSocket one = HostSocket::udp("127.0.0.1"), two = HostSocket::udp("127.0.0.1");
  one.send_to(f.guest, text("a"));
  f.received(f.service);
  two.send_to(f.guest, text("b"));
  REQUIRE(until([&] {
    f.epoll.dispatch();
    return f.reverse.of_rule(7).flows_failed == 1;
  }));
  const Endpoint service = f.service.name();
  f.service.reset();
  one.send_to(f.guest, text("lost"));
  REQUIRE(until([&] {
    f.epoll.dispatch();
    return f.reverse.of_rule(7).bytes_to_host == 5;
  }));
  f.service = HostSocket::udp("127.0.0.1", service.port);
  REQUIRE(f.service);
  one.send_to(f.guest, text("again"));
  CHECK(f.received(f.service).text() == "again");
  f.reverse.remove(1);
  CHECK(f.reverse.flows({0, 10, std::nullopt}).empty());
  CHECK(f.reverse.of_rule(7).flows == 0);
  CHECK(f.reverse.of_rule(7).flows_opened == 1);
  f.reverse.forget_rule(7);
  CHECK(f.reverse.of_rule(7).flows_opened == 0);
}

}  // namespace
}  // namespace nh::test
