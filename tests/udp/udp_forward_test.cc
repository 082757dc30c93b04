// SPDX-License-Identifier: BSD-3-Clause
// UDP forwards with real sockets on the host's loopback and a guest that is a list of frames. Longer than most: they share it.
#include "netstack/udp/udp_forward.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <numeric>
#include <set>

#include "netstack/relay/listener.h"
#include "src/rules/rule_spec.h"
#include "tests/support/catch.h"
#include "tests/support/frame_recorder.h"
#include "tests/support/host_socket.h"

namespace nh::test {
namespace {

struct Observer final : FlowObserver {
  void flow_opened(const FlowRecord& flow) override { opened.push_back(flow); }
  void flow_closed(const FlowRecord& flow, FlowEnd end) override { closed.emplace_back(flow.id, end); }
  std::vector<FlowRecord> opened;
  std::vector<std::pair<std::uint64_t, FlowEnd>> closed;
};

UniqueFd listener_at(const Endpoint& endpoint, const std::string& interface = {}) {
  auto opened = open_listener(Transport::udp, endpoint, interface);
  REQUIRE(opened);
  return std::move(opened->fd);
}

struct Fixture {
  explicit Fixture(std::size_t max_flows = 100, unsigned mtu = 1500)
      : forward({.epoll = &epoll,
                 .clock = &clock,
                 .sink = &sink,
                 .neighbours = &neighbours,
                 .plan = plan(mtu),
                 .max_flows = max_flows,
                 .observer = &observer}) {}

  // As the rules have it: without a guest address it is the guest's own of the client's family.
  Endpoint add(std::uint64_t rule, const std::string& text) {
    const RuleSpec spec = RuleSpec::parse(text).value();
    Destination destination{.v4 = plan().v4.guest, .v6 = plan().v6->guest, .port = spec.guest_ports.front().first};
    if (spec.guest_address) {
      destination.v4 = destination.v6 = std::nullopt;
      (spec.guest_address->is_v4() ? destination.v4 : destination.v6) = spec.guest_address;
    }
    const Address host = spec.host_address.value_or(Address::loopback(Family::v4));
    const auto bound = forward.add(rule, rule, listener_at({host, spec.host_ports.front().first}), destination);
    REQUIRE(bound);
    return *bound;
  }
  // Waits until the guest has got `count` datagrams in all; gives the last.
  Datagram received(std::size_t count) {
    REQUIRE(until([&] {
      epoll.dispatch();
      return sink.datagrams().size() >= count;
    }));
    return sink.datagrams().at(count - 1);
  }
  // The guest answers a datagram as any UDP service does: from its destination, to its source.
  bool answer(const Datagram& to, std::string_view what) { return take(udp(to.to, to.from, text(what))); }
  bool take(Frame frame) {
    const bool taken = forward.take(parse_packet(frame).packet);
    forward.flush();
    return taken;
  }

  Loop loop;
  EpollSet epoll = EpollSet::create(loop).value();
  ManualClock clock;
  FrameRecorder sink;
  Neighbours neighbours{guest_mac};
  Observer observer;
  UdpForward forward;
};

Destination service(std::uint16_t port, const std::string& address = "10.0.2.100") {
  return {.v4 = addr(address), .v6 = std::nullopt, .port = port};
}

HostDatagram received(const HostSocket& socket) {
  std::optional<HostDatagram> datagram;
  REQUIRE(until([&] { return (datagram = socket.receive()).has_value(); }));
  return *datagram;
}

TEST_CASE("a client on loopback appears as the gateway and is answered") {
  const bool v4 = GENERATE(true, false);
  Fixture f;
  const Endpoint bound = f.add(1, v4 ? "0:5300/udp" : "[::1]:0:5300/udp");
  CHECK(bound.port != 0);
  const HostSocket client = HostSocket::udp(v4 ? "127.0.0.1" : "::1");
  client.send_to(bound, text("question"));
  const Datagram got = f.received(1);
  CHECK(got.text() == "question");
  CHECK(got.to == (v4 ? at("10.0.2.100", 5300) : at("fd00::100", 5300)));
  CHECK(got.from == Endpoint{addr(v4 ? "10.0.2.2" : "fd00::2"), client.port()});
  CHECK(got.mac_destination == guest_mac);
  CHECK(got.mac_source == AddressPlan::gateway_mac(addr(v4 ? "10.0.2.2" : "fd00::2")));

  REQUIRE(f.answer(got, "answer"));
  const HostDatagram back = received(client);
  CHECK(back.text() == "answer");
  CHECK(back.from == bound);
  const auto counters = f.forward.counters();
  CHECK(counters.datagrams_to_guest == 1);
  CHECK(counters.bytes_to_guest == 8);
  CHECK(counters.datagrams_to_host == 1);
  CHECK(counters.bytes_to_host == 6);
  CHECK(counters.flows == 1);
}

TEST_CASE("many clients of one port each get their own answers") {
  constexpr std::size_t many = 60;
  Fixture f;
  const Endpoint bound = f.add(1, "0:5300/udp");
  std::vector<HostSocket> clients;
  for (std::size_t i = 0; i < many; ++i) {
    clients.push_back(HostSocket::udp("127.0.0.1"));
    clients.back().send_to(bound, text("from " + std::to_string(clients.back().port())));
  }
  f.received(many);
  std::set<Endpoint> sources;
  for (const Datagram& datagram : f.sink.datagrams()) {
    sources.insert(datagram.from);
    CHECK(datagram.text() == "from " + std::to_string(datagram.from.port));
    REQUIRE(f.answer(datagram, "to " + std::to_string(datagram.from.port)));
  }
  CHECK(sources.size() == many);
  for (const HostSocket& client : clients) CHECK(received(client).text() == "to " + std::to_string(client.port()));
  CHECK(f.forward.counters().flows == many);
}

TEST_CASE("two clients with one port appear with different ports") {
  Fixture f;
  const Endpoint bound = f.add(1, "0.0.0.0:0:5300/udp");
  const HostSocket one = HostSocket::udp("127.0.0.1");
  const HostSocket two = HostSocket::udp("127.0.0.2", one.port());
  REQUIRE(two);
  one.send_to({addr("127.0.0.1"), bound.port}, text("one"));
  const Datagram first = f.received(1);
  two.send_to({addr("127.0.0.1"), bound.port}, text("two"));
  const Datagram second = f.received(2);
  CHECK(first.from.port == one.port());
  CHECK(second.from.address == first.from.address);
  CHECK(second.from.port != first.from.port);
  REQUIRE(f.answer(second, "to two"));
  REQUIRE(f.answer(first, "to one"));
  CHECK(received(one).text() == "to one");
  CHECK(received(two).text() == "to two");
}

TEST_CASE("a wildcard socket answers from the address that the client had used") {
  const std::string host = GENERATE("0.0.0.0", "[::]");
  Fixture f;
  const std::uint16_t port = f.add(1, host + ":0:5300/udp").port;
  const HostSocket client = HostSocket::udp("127.0.0.1");
  const Endpoint first{addr("127.0.0.1"), port};
  const Endpoint second{addr("127.0.0.2"), port};
  client.send_to(first, text("a"));
  const Datagram a = f.received(1);
  client.send_to(second, text("b"));
  const Datagram b = f.received(2);
  CHECK(a.from != b.from);
  CHECK(a.to == at("10.0.2.100", 5300));  // [::] takes IPv4 too, and the guest sees it as such
  REQUIRE(f.answer(b, "to b"));
  const HostDatagram back = received(client);
  CHECK(back.from == second);
  CHECK(back.text() == "to b");
  REQUIRE(f.answer(a, "to a"));
  CHECK(received(client).from == first);
}

TEST_CASE("a dual-stack wildcard serves IPv6 clients as well") {
  Fixture f;
  const std::uint16_t port = f.add(1, "[::]:0:5300/udp").port;
  const HostSocket client = HostSocket::udp("::1");
  client.send_to(at("::1", port), text("six"));
  const Datagram got = f.received(1);
  CHECK(got.to == at("fd00::100", 5300));
  REQUIRE(f.answer(got, "back"));
  CHECK(received(client).from == at("::1", port));
}

TEST_CASE("a guest address of the other family is reached as the gateway of that family") {
  const bool v4_host = GENERATE(true, false);
  Fixture f;
  const Endpoint bound = f.add(1, v4_host ? "0:[fd00::100]:5300/udp" : "[::1]:0:10.0.2.100:5300/udp");
  const HostSocket client = HostSocket::udp(v4_host ? "127.0.0.1" : "::1");
  client.send_to(bound, text("x"));
  const Datagram got = f.received(1);
  CHECK(got.from.address == addr(v4_host ? "fd00::2" : "10.0.2.2"));
  REQUIRE(f.answer(got, "y"));
  CHECK(received(client).from == bound);
}

TEST_CASE("a datagram of 4000 bytes is fragmented at an MTU of 1500, an answer of 60000 goes out whole") {
  Fixture f;
  const Endpoint bound = f.add(1, "0:5300/udp");
  const HostSocket client = HostSocket::udp("127.0.0.1");
  std::vector<std::uint8_t> payload(4000);
  std::iota(payload.begin(), payload.end(), std::uint8_t{0});
  client.send_to(bound, payload);
  const Datagram got = f.received(1);
  CHECK(got.frames == 3);
  CHECK(got.payload == payload);
  payload.resize(60000);
  REQUIRE(f.take(udp(got.to, got.from, payload)));
  CHECK(received(client).payload == payload);
}

TEST_CASE("the largest datagrams go both ways, in both families, with right checksums") {
  const bool v4 = GENERATE(true, false);
  Fixture f;
  const Endpoint bound = f.add(1, v4 ? "0:5300/udp" : "[::1]:0:5300/udp");
  const HostSocket client = HostSocket::udp(v4 ? "127.0.0.1" : "::1");
  std::vector<std::uint8_t> payload(limits::datagram);
  std::iota(payload.begin(), payload.end(), std::uint8_t{0});
  client.send_to(bound, payload);
  const Datagram got = f.received(1);
  CHECK(got.payload == payload);
  CHECK(got.frames == (v4 ? 45 : 46));  // of 1480 and 1448 bytes
  REQUIRE(f.take(udp(got.to, got.from, payload)));
  CHECK(received(client).payload == payload);
  if (v4) return;
  // IPv6 has room for a few bytes more.
  payload.push_back(0);
  REQUIRE(f.take(udp(got.to, got.from, payload)));
  CHECK(f.forward.counters().dropped_send == 1);
  CHECK(f.forward.counters().datagrams_to_host == 1);
}

TEST_CASE("a burst of answers reaches its clients whole and in order, whatever the sizes") {
  Fixture f;
  const Endpoint bound = f.add(1, "0:5300/udp");
  const HostSocket clients[] = {HostSocket::udp("127.0.0.1"), HostSocket::udp("127.0.0.1")};
  for (const HostSocket& client : clients) client.send_to(bound, text("go"));
  f.received(2);
  const std::vector<Datagram> asked = f.sink.datagrams();
  // Runs of equal sizes, shorter and longer ones between them, empty ones, a change of client in the middle.
  const std::size_t sizes[] = {100, 100, 100, 40, 100, 100, 0, 0, 3000, 3000, 10, 10, 11, 1};
  std::vector<std::vector<std::uint8_t>> sent;
  for (std::size_t round = 0; round < 10; ++round)
    for (const std::size_t size : sizes) {
      sent.emplace_back(size, static_cast<std::uint8_t>(sent.size()));
      for (const Datagram& question : asked) {
        Frame frame = udp(question.to, question.from, sent.back());
        REQUIRE(f.forward.take(parse_packet(frame).packet));
      }
    }
  f.forward.flush();
  for (const Datagram& question : asked) {
    const HostSocket& client = question.from.port == clients[0].port() ? clients[0] : clients[1];
    for (const auto& expected : sent) REQUIRE(received(client).payload == expected);
    CHECK_FALSE(client.receive());
  }
  CHECK(f.forward.counters().dropped_send == 0);
}

TEST_CASE("a datagram that a sender has put together with others arrives as several") {
  Fixture f;
  const Endpoint bound = f.add(1, "0:5300/udp");
  const HostSocket client = HostSocket::udp("127.0.0.1");
  const int segment = 300;
  REQUIRE(setsockopt(client.fd(), IPPROTO_UDP, 103 /* UDP_SEGMENT of linux/udp.h */, &segment, sizeof segment) == 0);
  std::vector<std::uint8_t> payload(1000);
  std::iota(payload.begin(), payload.end(), std::uint8_t{0});
  client.send_to(bound, payload);
  f.received(4);
  std::vector<std::uint8_t> joined;
  for (const Datagram& datagram : f.sink.datagrams()) {
    CHECK(datagram.payload.size() <= 300);
    joined.insert(joined.end(), datagram.payload.begin(), datagram.payload.end());
  }
  CHECK(joined == payload);
  CHECK(f.forward.counters().datagrams_to_guest == 4);
}

TEST_CASE("datagrams without a byte go both ways") {
  Fixture f;
  const Endpoint bound = f.add(1, "0:5300/udp");
  const HostSocket client = HostSocket::udp("127.0.0.1");
  client.send_to(bound, {});
  const Datagram got = f.received(1);
  CHECK(got.payload.empty());
  REQUIRE(f.answer(got, ""));
  CHECK(received(client).payload.empty());
}

TEST_CASE("a full table drops new clients, counts them, and keeps the old ones") {
  Fixture f(2);
  const Endpoint bound = f.add(1, "0:5300/udp");
  const HostSocket clients[] = {HostSocket::udp("127.0.0.1"), HostSocket::udp("127.0.0.1"), HostSocket::udp("127.0.0.1")};
  for (const HostSocket& client : clients) client.send_to(bound, text("x"));
  REQUIRE(until([&] {
    f.epoll.dispatch();
    return f.forward.counters().dropped_table_full == 1;
  }));
  CHECK(f.sink.datagrams().size() == 2);
  clients[0].send_to(bound, text("again"));
  CHECK(f.received(3).text() == "again");
}

TEST_CASE("idle flows are forgotten, answered ones later") {
  Fixture f;
  const Endpoint bound = f.add(1, "0:5300/udp");
  CHECK(f.forward.next_deadline() == Instant::max());
  const HostSocket silent = HostSocket::udp("127.0.0.1");
  silent.send_to(bound, text("silent"));
  const Datagram unanswered = f.received(1);
  const HostSocket busy = HostSocket::udp("127.0.0.1");
  busy.send_to(bound, text("busy"));
  const Datagram answered = f.received(2);
  REQUIRE(f.answer(answered, "yes"));

  f.clock.advance(limits::udp_idle_unanswered - std::chrono::milliseconds(1));
  f.forward.expire();
  CHECK(f.forward.counters().flows == 2);
  f.clock.advance(std::chrono::milliseconds(1));
  CHECK(f.forward.next_deadline() <= f.clock.now());
  f.forward.expire();
  CHECK(f.forward.counters().flows == 1);
  CHECK(f.forward.of_rule(1).flows == 1);
  CHECK_FALSE(f.answer(unanswered, "late"));
  CHECK(f.answer(answered, "still"));
  f.clock.advance(limits::udp_idle_answered);
  f.forward.expire();
  CHECK(f.forward.counters().flows == 0);
  CHECK(f.forward.counters().flows_expired == 2);
  CHECK_FALSE(f.answer(answered, "late"));
  CHECK(f.observer.closed ==
        std::vector<std::pair<std::uint64_t, FlowEnd>>{{1, FlowEnd::timed_out}, {2, FlowEnd::timed_out}});
}

TEST_CASE("a guest's ICMP error ends the flow it quotes, fragmentation needed does not") {
  const bool v4 = GENERATE(true, false);
  Fixture f;
  const Endpoint bound = f.add(1, v4 ? "0:5300/udp" : "[::1]:0:5300/udp");
  const HostSocket client = HostSocket::udp(v4 ? "127.0.0.1" : "::1");
  client.send_to(bound, text("anyone?"));
  f.received(1);
  const auto error = [&](std::uint8_t type, std::uint8_t code) {
    const Bytes sent = Bytes(f.sink.frames.at(0)).subspan(ethernet_header);
    std::vector<std::uint8_t> rest(4);
    rest.insert(rest.end(), sent.begin(), sent.end());
    Frame frame = icmp(addr(v4 ? "10.0.2.100" : "fd00::100"), addr(v4 ? "10.0.2.2" : "fd00::2"), type, code, rest);
    Packet packet = parse_packet(frame).packet;
    REQUIRE(packet.icmp_error);
    REQUIRE(read_quote(packet));
    return f.forward.take_icmp_error(packet);
  };
  CHECK((v4 ? error(3, 4) : error(2, 0)));
  CHECK(f.forward.counters().flows == 1);
  CHECK((v4 ? error(3, 3) : error(1, 4)));
  CHECK(f.forward.counters().flows == 0);
  CHECK(f.forward.counters().refused == 1);
  CHECK(f.forward.of_rule(1).flows_failed == 1);
  REQUIRE(f.observer.closed.size() == 1);
  CHECK(f.observer.closed[0].second == FlowEnd::refused);
  CHECK_FALSE((v4 ? error(3, 3) : error(1, 4)));  // nothing of ours any more
}

TEST_CASE("packets that answer no flow are not taken") {
  Fixture f;
  const Endpoint bound = f.add(1, "0:5300/udp");
  const HostSocket client = HostSocket::udp("127.0.0.1");
  client.send_to(bound, text("x"));
  const Datagram got = f.received(1);
  CHECK_FALSE(f.take(udp({got.to.address, 5301}, got.from)));
  CHECK_FALSE(f.take(udp(got.to, {got.from.address, static_cast<std::uint16_t>(got.from.port ^ 1)})));
  CHECK_FALSE(f.take(udp(at("10.0.2.101", 5300), got.from)));
  CHECK_FALSE(f.take(tcp(got.to, got.from)));
  CHECK(f.take(udp(got.to, got.from)));
}

TEST_CASE("a removed rule frees its port and forgets its flows, others stay") {
  Fixture f;
  const Endpoint bound = f.add(1, "0:5300/udp");
  const Endpoint other = f.add(2, "0:5301/udp");
  const HostSocket client = HostSocket::udp("127.0.0.1");
  client.send_to(bound, text("x"));
  const Datagram got = f.received(1);
  client.send_to(other, text("y"));
  const Datagram kept = f.received(2);
  f.forward.remove(1);
  f.forward.remove(1);
  CHECK(f.forward.counters().flows == 1);
  CHECK_FALSE(f.answer(got, "late"));
  CHECK(f.answer(kept, "fine"));
  CHECK(HostSocket::udp("127.0.0.1", bound.port));
  CHECK(f.forward.counters().datagrams_to_guest == 2);
  // The rule is told of what it had until it is forgotten.
  CHECK(f.forward.of_rule(1).flows_opened == 1);
  CHECK(f.forward.of_rule(1).flows == 0);
  f.forward.forget_rule(1);
  CHECK(f.forward.of_rule(1).flows_opened == 0);
  CHECK(f.forward.of_rule(2).bytes_to_host == 4);
}

TEST_CASE("a client that is gone is told to the guest as its kernel would have been") {
  const bool v4 = GENERATE(true, false);
  const bool wildcard = GENERATE(true, false);
  CAPTURE(v4, wildcard);
  Fixture f;
  const std::uint16_t port = f.add(1, wildcard ? "[::]:0:5300/udp" : v4 ? "0:5300/udp" : "[::1]:0:5300/udp").port;
  HostSocket client = HostSocket::udp(v4 ? "127.0.0.1" : "::1");
  client.send_to(at(v4 ? "127.0.0.1" : "::1", port), text("x"));
  const Datagram got = f.received(1);
  client.reset();
  REQUIRE(f.answer(got, "anybody there?"));
  REQUIRE(until([&] {
    f.epoll.dispatch();
    return f.sink.frames.size() == 2;
  }));
  Frame frame = f.sink.frames[1];
  Frame checked = frame;
  fix_checksums(checked);
  CHECK(checked == frame);
  Packet error = parse_packet(frame).packet;
  CHECK(error.icmp_error);
  CHECK(error.l4()[0] == (v4 ? 3 : 1));
  CHECK(error.l4()[1] == (v4 ? 3 : 4));  // port unreachable
  CHECK(error.source == got.from.address);
  CHECK(error.destination == got.to.address);
  CHECK(error.mac_destination == guest_mac);
  REQUIRE(read_quote(error));
  CHECK(error.quoted_protocol == protocol::udp);
  CHECK(error.quoted_from == got.to);
  CHECK(error.quoted_to == got.from);
  CHECK(f.forward.counters().errors_told == 1);
  // The error belongs to that client alone: others are served as before, and so is it when it comes back.
  const HostSocket other = HostSocket::udp(v4 ? "127.0.0.1" : "::1");
  other.send_to(at(v4 ? "127.0.0.1" : "::1", port), text("y"));
  REQUIRE(until([&] {
    f.epoll.dispatch();
    return f.sink.datagrams().size() == 2;
  }));
  REQUIRE(f.answer(f.sink.datagrams()[1], "z"));
  CHECK(received(other).text() == "z");
  CHECK(f.forward.counters().flows == 2);
}

TEST_CASE("what a client that is gone leaves on the socket does not cost another its answer") {
  Fixture f;
  const Endpoint bound = f.add(1, "0:5300/udp");
  HostSocket gone = HostSocket::udp("127.0.0.1");
  const HostSocket other = HostSocket::udp("127.0.0.1");
  gone.send_to(bound, text("x"));
  const Datagram from_gone = f.received(1);
  other.send_to(bound, text("y"));
  const Datagram from_other = f.received(2);
  gone.reset();
  // On loopback the error is there when the call returns; nothing takes it off the socket before the next answer.
  REQUIRE(f.answer(from_gone, "lost"));
  REQUIRE(f.answer(from_other, "not lost"));
  CHECK(received(other).text() == "not lost");
  CHECK(f.forward.counters().dropped_send == 0);
}

TEST_CASE("a listener on one interface takes what comes by it alone") {
  Fixture f;
  const auto bound = f.forward.add(1, 1, listener_at(at("0.0.0.0", 0), "lo"), service(5300));
  REQUIRE(bound);
  const HostSocket client = HostSocket::udp("127.0.0.1");
  client.send_to(at("127.0.0.1", bound->port), text("x"));
  REQUIRE(f.answer(f.received(1), "y"));
  CHECK(received(client).text() == "y");
}

TEST_CASE("errors to the guest are limited to so many a second") {
  constexpr std::size_t beyond = 50;
  Fixture f;
  const Endpoint bound = f.add(1, "0:5300/udp");
  HostSocket client = HostSocket::udp("127.0.0.1");
  client.send_to(bound, text("x"));
  const Datagram got = f.received(1);
  client.reset();
  for (std::size_t i = 0; i < limits::icmp_errors_per_second + beyond; ++i) {
    REQUIRE(f.answer(got, "?"));
    f.epoll.dispatch();
  }
  REQUIRE(until([&] {
    f.epoll.dispatch();
    return f.forward.counters().errors_suppressed > 0;
  }));
  CHECK(f.forward.counters().errors_told == limits::icmp_errors_per_second);
  CHECK(f.sink.frames.size() == 1 + limits::icmp_errors_per_second);
}

TEST_CASE("flows are listed by id and rule, and killed") {
  Fixture f;
  const Endpoint one = f.add(1, "0:5300/udp");
  const Endpoint two = f.add(2, "0:5301/udp");
  std::vector<HostSocket> clients;
  for (std::size_t i = 0; i < 5; ++i) {
    clients.push_back(HostSocket::udp("127.0.0.1"));
    clients.back().send_to(i % 2 == 0 ? one : two, text("x"));
    f.received(i + 1);
  }
  REQUIRE(f.answer(f.sink.datagrams()[0], "four"));
  const std::vector<FlowRecord> all = f.forward.flows({0, 100, std::nullopt});
  REQUIRE(all.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) CHECK(all[i].id == i + 1);
  const FlowRecord& first = all[0];
  CHECK(first.rule == 1);
  CHECK(first.transport == Transport::udp);
  CHECK(first.path == FlowPath::frames);
  CHECK(first.open);
  CHECK(first.host_peer == clients[0].name());
  CHECK(first.host_local == one);
  CHECK(first.guest_peer == Endpoint{addr("10.0.2.2"), clients[0].port()});
  CHECK(first.guest == at("10.0.2.100", 5300));
  CHECK(first.bytes_to_guest == 1);
  CHECK(first.bytes_to_host == 4);
  CHECK(f.observer.opened.size() == 5);
  CHECK(f.forward.flows({3, 100, std::nullopt}).size() == 2);
  CHECK(f.forward.flows({0, 2, std::nullopt}).back().id == 2);
  CHECK(f.forward.flows({0, 100, 2}).size() == 2);
  CHECK(f.forward.kill(1));
  CHECK_FALSE(f.forward.kill(1));
  CHECK(f.forward.flows({0, 1, std::nullopt}).at(0).id == 2);
  CHECK(f.observer.closed.back() == std::pair<std::uint64_t, FlowEnd>{1, FlowEnd::killed});
}

TEST_CASE("a listener that changes its rule keeps its socket and its flows; new clients go the new way") {
  Fixture f;
  const Endpoint bound = f.add(1, "0:5300/udp");
  const HostSocket before = HostSocket::udp("127.0.0.1"), after = HostSocket::udp("127.0.0.1");
  before.send_to(bound, text("x"));
  const Datagram old = f.received(1);
  REQUIRE(f.forward.change(1, 7, service(99, "10.0.2.50")));
  REQUIRE(f.answer(old, "still"));
  CHECK(received(before).text() == "still");
  // What it has counted goes with it.
  CHECK(f.forward.of_rule(1).flows_opened == 0);
  CHECK(f.forward.of_rule(7).flows == 1);
  before.send_to(bound, text("y"));
  CHECK(f.received(2).to == old.to);
  after.send_to(bound, text("z"));
  CHECK(f.received(3).to == at("10.0.2.50", 99));
  CHECK(f.forward.flows({0, 10, 7}).size() == 2);
  CHECK_FALSE(f.forward.change(1, 8, service(99, "127.0.0.1")));
  CHECK(f.forward.flows({0, 10, 7}).size() == 2);
}

TEST_CASE("a socket that somebody else has bound is taken over") {
  Fixture f;
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const SockAddr address(at("127.0.0.1", 0));
  REQUIRE(bind(fd.get(), address.get(), address.length) == 0);
  const auto bound = f.forward.add(1, 1, std::move(fd), service(5300));
  REQUIRE(bound);
  const HostSocket client = HostSocket::udp("127.0.0.1");
  client.send_to(*bound, text("x"));
  REQUIRE(f.answer(f.received(1), "y"));
  CHECK(received(client).text() == "y");
  CHECK_FALSE(f.forward.add(2, 1, UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), service(5300)));
}

TEST_CASE("a destination that cannot be reached is an error with a field") {
  Fixture f, without_v6(100, 1000);
  const auto no_agent = f.forward.add(1, 1, listener_at(at("127.0.0.1", 0)), service(80, "127.0.0.1"));
  REQUIRE_FALSE(no_agent);
  CHECK(no_agent.error().code == Code::unsupported);
  CHECK(no_agent.error().field == "guest_addr");
  const auto no_v6 = without_v6.forward.add(1, 1, listener_at(at("127.0.0.1", 0)),
                                            {.v4 = std::nullopt, .v6 = addr("fd00::100"), .port = 80});
  REQUIRE_FALSE(no_v6);
  CHECK(no_v6.error().code == Code::invalid);
  CHECK(no_v6.error().field == "guest_addr");
}

}  // namespace
}  // namespace nh::test
