// SPDX-License-Identifier: BSD-3-Clause
// UDP forwards to services on the guest's loopback: the guest's namespace is the test's own, so that a stand-in is a plain
// socket on the host's loopback.
#include <dirent.h>

#include <memory>

#include "netstack/relay/listener.h"
#include "netstack/udp/udp_forward.h"
#include "tests/support/catch.h"
#include "tests/support/frame_recorder.h"
#include "tests/support/host_socket.h"

namespace nh::test {
namespace {

// Answers at once, or when the test says so.
struct FakeStandIns final : StandIns {
  struct Asked {
    Endpoint guest_peer, guest;
    Done done;
  };
  void check(std::function<void()>) override {}
  void drop_check() override {}
  Opening open(const Endpoint&, const Endpoint&, Port, Done) override { return {}; }
  Opening listen(Kind, const Endpoint&, Done) override { return {}; }
  Opening open_udp(const Endpoint& guest_peer, const Endpoint& guest, Done done) override {
    asked.push_back({guest_peer, guest, std::move(done)});
    if (at_once) return {.result = result_of(asked.back())};
    return {.ticket = asked.size()};
  }
  void cancel(std::uint64_t ticket) override { cancelled.push_back(ticket); }

  // The client's address is not the test's own: any port of the loopback stands for it.
  Result<UniqueFd> result_of(const Asked& question) const {
    if (error) return *error;
    HostSocket made = HostSocket::udp(question.guest.address.text());
    UniqueFd fd(dup(made.fd()));
    const SockAddr address(question.guest);
    REQUIRE(connect(fd.get(), address.get(), address.length) == 0);
    return fd;
  }
  void answer(std::size_t index) {
    const Done done = std::move(asked.at(index).done);
    done(result_of(asked.at(index)));
  }

  bool at_once = false;
  std::optional<Error> error;
  std::vector<Asked> asked;
  std::vector<std::uint64_t> cancelled;
};

struct FlowsSeen final : FlowObserver {
  void flow_opened(const FlowRecord& flow) override { opened.push_back(flow); }
  void flow_closed(const FlowRecord&, FlowEnd end) override { closed.push_back(end); }
  std::vector<FlowRecord> opened;
  std::vector<FlowEnd> closed;
};

struct StandInFixture {
  explicit StandInFixture(bool v4 = true)
      : service(HostSocket::udp(v4 ? "127.0.0.1" : "::1")), client(HostSocket::udp(v4 ? "127.0.0.1" : "::1")) {
    Destination destination{.v4 = std::nullopt, .v6 = std::nullopt, .port = service.port()};
    (v4 ? destination.v4 : destination.v6) = service.name().address;
    bound = add(1, at(v4 ? "127.0.0.1" : "::1", 0), destination);
  }
  Endpoint add(std::uint64_t listener, const Endpoint& host, const Destination& destination) {
    auto opened = open_listener(Transport::udp, host, {});
    REQUIRE(opened);
    const auto added = forward.add(listener, listener, std::move(opened->fd), destination);
    REQUIRE(added);
    return *added;
  }
  // What the condition waits for comes from the helper's turns.
  template <class Condition>
  bool turns(Condition condition) {
    return until([&] {
      epoll.dispatch();
      return condition();
    });
  }
  HostDatagram received(const HostSocket& socket) {
    std::optional<HostDatagram> datagram;
    REQUIRE(turns([&] { return (datagram = socket.receive()).has_value(); }));
    return *datagram;
  }

  Loop loop;
  EpollSet epoll = EpollSet::create(loop).value();
  ManualClock clock;
  FrameRecorder sink;
  Neighbours neighbours{guest_mac};
  FakeStandIns stand_ins;
  FlowsSeen observer;
  HostSocket service, client;
  Endpoint bound;
  UdpForward forward{{.epoll = &epoll,
                      .clock = &clock,
                      .sink = &sink,
                      .neighbours = &neighbours,
                      .plan = plan(),
                      .max_stand_ins = 2,
                      .stand_ins = &stand_ins,
                      .observer = &observer}};
};

std::size_t open_descriptors() {
  std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir("/proc/self/fd"), closedir);
  std::size_t count = 0;
  while (readdir(directory.get()) != nullptr) ++count;
  return count;
}

TEST_CASE("a service on the guest's loopback is reached through a stand-in and answers") {
  const bool v4 = GENERATE(true, false), at_once = GENERATE(true, false);
  CAPTURE(v4, at_once);
  StandInFixture f(v4);
  f.stand_ins.at_once = at_once;
  f.client.send_to(f.bound, text("one"));
  REQUIRE(f.turns([&] { return f.stand_ins.asked.size() == 1; }));
  CHECK(f.stand_ins.asked[0].guest_peer == Endpoint{addr(v4 ? "10.0.2.2" : "fd00::2"), f.client.port()});
  CHECK(f.stand_ins.asked[0].guest == f.service.name());
  if (!at_once) {
    // What comes meanwhile waits, in order.
    CHECK(f.observer.opened.empty());
    CHECK_FALSE(f.forward.flows({0, 1, std::nullopt}).at(0).open);
    f.client.send_to(f.bound, text("two"));
    REQUIRE(f.turns([&] { return f.forward.counters().datagrams_to_guest == 2; }));
    f.stand_ins.answer(0);
  }
  CHECK(f.observer.opened.size() == 1);
  const HostDatagram got = f.received(f.service);
  CHECK(got.text() == "one");
  if (!at_once) CHECK(f.received(f.service).text() == "two");
  f.service.send_to(got.from, text("answer"));
  const HostDatagram back = f.received(f.client);
  CHECK(back.text() == "answer");
  CHECK(back.from == f.bound);
  const FlowRecord flow = f.forward.flows({0, 1, std::nullopt}).at(0);
  CHECK(flow.path == FlowPath::relay);
  CHECK(flow.open);
  CHECK(flow.bytes_to_host == 6);
  CHECK(f.forward.counters().stand_ins == 1);
  CHECK(f.sink.frames.empty());
}

TEST_CASE("an idle stand-in is closed, one that the guest refuses ends at once, and no descriptor is left") {
  StandInFixture f;
  f.stand_ins.at_once = true;
  const std::size_t before = open_descriptors();
  f.client.send_to(f.bound, text("x"));
  f.received(f.service);
  CHECK(open_descriptors() == before + 1);
  f.clock.advance(limits::udp_idle_unanswered);
  f.forward.expire();
  CHECK(open_descriptors() == before);
  CHECK(f.observer.closed == std::vector<FlowEnd>{FlowEnd::timed_out});

  f.service.reset();
  f.client.send_to(f.bound, text("y"));
  REQUIRE(f.turns([&] { return f.observer.closed.size() == 2; }));
  CHECK(f.observer.closed[1] == FlowEnd::refused);
  CHECK(f.forward.counters().refused == 1);
  CHECK(f.forward.counters().stand_ins == 0);
  CHECK(f.forward.counters().flows == 0);
  CHECK(open_descriptors() == before - 1);  // the service's own
}

TEST_CASE("stand-ins that cannot be had end their flows, and a removed listener takes back its question") {
  StandInFixture f;
  f.stand_ins.error = Error{.code = Code::exhausted, .what = "no descriptor is left"};
  f.stand_ins.at_once = GENERATE(true, false);
  f.client.send_to(f.bound, text("x"));
  REQUIRE(f.turns([&] { return f.stand_ins.asked.size() == 1; }));
  if (!f.stand_ins.at_once) f.stand_ins.answer(0);
  CHECK(f.observer.closed == std::vector<FlowEnd>{FlowEnd::exhausted});
  CHECK(f.forward.counters().flows_failed == 1);
  CHECK(f.forward.counters().stand_ins == 0);
  CHECK(f.observer.opened.empty());

  f.stand_ins.at_once = false;
  f.client.send_to(f.bound, text("y"));
  REQUIRE(f.turns([&] { return f.stand_ins.asked.size() == 2; }));
  f.forward.remove(1);
  CHECK(f.stand_ins.cancelled == std::vector<std::uint64_t>{2});
  CHECK(f.observer.closed.back() == FlowEnd::killed);
}

TEST_CASE("on [::] each client reaches the loopback service of its own family") {
  StandInFixture f;
  f.stand_ins.at_once = true;
  const std::uint16_t port = f.service.port();
  const HostSocket v6_service = HostSocket::udp("::1", port);
  REQUIRE(v6_service);
  const Endpoint wildcard = f.add(2, at("::", 0), {.v4 = addr("127.0.0.1"), .v6 = addr("::1"), .port = port});

  f.client.send_to(at("127.0.0.1", wildcard.port), text("four"));
  const HostDatagram four = f.received(f.service);
  CHECK(four.text() == "four");
  CHECK(f.stand_ins.asked.at(0).guest_peer.address == addr("10.0.2.2"));
  f.service.send_to(four.from, text("answer"));
  CHECK(f.received(f.client).from == at("127.0.0.1", wildcard.port));

  const HostSocket v6_client = HostSocket::udp("::1");
  v6_client.send_to(at("::1", wildcard.port), text("six"));
  CHECK(f.received(v6_service).text() == "six");
  CHECK(f.stand_ins.asked.at(1).guest_peer.address == addr("fd00::2"));
}

TEST_CASE("stand-ins and what waits for them are bounded") {
  StandInFixture f;
  const HostSocket others[] = {HostSocket::udp("127.0.0.1"), HostSocket::udp("127.0.0.1")};
  f.client.send_to(f.bound, text("x"));
  for (const HostSocket& other : others) other.send_to(f.bound, text("x"));
  REQUIRE(f.turns([&] { return f.forward.counters().dropped_table_full == 1; }));
  CHECK(f.forward.counters().stand_ins == 2);
  const std::vector<std::uint8_t> large(60000, 'x');
  for (std::size_t sent = 0; sent < limits::udp_waiting_bytes; sent += large.size()) {
    f.client.send_to(f.bound, large);
    f.epoll.dispatch();
  }
  REQUIRE(f.turns([&] { return f.forward.counters().dropped_waiting > 0; }));
  f.forward.remove(1);
}

}  // namespace
}  // namespace nh::test
