// SPDX-License-Identifier: BSD-3-Clause
// Longer than most: everything that can become of a SYN, in one rig.
#include "netstack/tcp/outbound_tcp.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include "netstack/frame/wire.h"
#include "tests/relay/relay_rig.h"
#include "tests/support/catch.h"
#include "tests/support/frame_recorder.h"

namespace nh::test {
namespace {

// The host's service and the guest's waiting socket (here one that listens) are both on this namespace's loopback; the guest
// dials the gateway.
struct Rig : RelayRig {
  explicit Rig(const std::function<void(OutboundTcpSetup&)>& change = nullptr)
      : outbound([&] {
          OutboundTcpSetup setup{.clock = &clock,
                                 .relays = &relays,
                                 .stand_ins = &stand_ins,
                                 .path = &stand_ins.path,
                                 .sink = &sink,
                                 .plan = plan(),
                                 .general = [this](Bytes syn) { general.emplace_back(syn.begin(), syn.end()); }};
          if (change) change(setup);
          return setup;
        }()) {
    guest = listening("127.0.0.1");
    service = listening("127.0.0.1");
    from = local_name(guest.get()).value();
    to = at("10.0.2.2", local_name(service.get()).value().port);
  }

  Frame syn(std::uint32_t sequence = 1000, Frame options = {}, std::uint8_t flags = tcp_flag::syn) const {
    return tcp(from, to, {.sequence = sequence, .flags = flags, .options = std::move(options)});
  }
  bool take(Frame frame, Reach reach = Reach::host_loopback) {
    const ParsedFrame parsed = parse_packet(frame);
    REQUIRE(!parsed.malformed);
    return outbound.take(parsed.packet, reach);
  }
  bool takes_v4() const { return stand_ins.path.now().takes_outbound(Family::v4); }
  std::size_t relayed() const { return relays.counters().all.flows_opened; }
  void pass(Duration time) {
    clock.advance(time);
    outbound.expire();
  }
  /// The only answer so far, if it is TCP.
  Packet answer(Frame& frame) const {
    REQUIRE(sink.frames.size() == 1);
    frame = sink.frames[0];
    return parse_packet(frame).packet;
  }
  /// A service that takes no further connection: its queue is full.
  void fill_queue() {
    service = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const SockAddr name(at("127.0.0.1", 0));
    REQUIRE(bind(service.get(), name.get(), name.length) == 0);
    REQUIRE(listen(service.get(), 0) == 0);
    const Endpoint here = local_name(service.get()).value();
    for (int i = 0; i < 3; ++i) queue.push_back(FakeStandIns::dial(here).value());
    to.port = here.port;
  }

  ManualClock clock;
  FrameRecorder sink;
  std::vector<Frame> general;
  std::size_t changes = 0;  // of the kernel path
  KernelPath::Subscription subscription =
      stand_ins.path.subscribe([this](const KernelPathState&, const KernelPathState&) { ++changes; });
  std::vector<UniqueFd> queue;
  UniqueFd guest;
  Endpoint from, to;
  OutboundTcp outbound;
};

UniqueFd accepted(const UniqueFd& listener) {
  return UniqueFd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

bool carries(Rig& rig, int from, int to) {
  if (send(from, "x", 1, MSG_NOSIGNAL) != 1) return false;
  char got = 0;
  return rig.until([&] { return recv(to, &got, 1, MSG_DONTWAIT) == 1; }) && got == 'x';
}

}  // namespace

TEST_CASE("a SYN becomes a relay, with the dialled address for the stand-in", "[outbound_tcp]") {
  Rig rig;
  REQUIRE(rig.take(rig.syn()));
  REQUIRE(rig.until([&] { return rig.relayed() == 1; }));
  REQUIRE(rig.stand_ins.guest_peers == std::vector<Endpoint>{rig.to});
  const UniqueFd guest = accepted(rig.guest), service = accepted(rig.service);
  CHECK(carries(rig, guest.get(), service.get()));
  CHECK(carries(rig, service.get(), guest.get()));
  const FlowRecord record = rig.relays.list(0, 10, std::nullopt).at(0);
  CHECK(record.direction == FlowDirection::out);
  CHECK(record.guest_peer == rig.to);
  CHECK(record.guest == rig.from);
  CHECK(record.host_peer == at("127.0.0.1", rig.to.port));
  CHECK(rig.sink.frames.empty());
  CHECK(rig.outbound.under_way() == 0);
  CHECK(rig.outbound.next_deadline() == Instant::max());
}

TEST_CASE("a host that refuses is a reset of that very SYN", "[outbound_tcp]") {
  Rig rig;
  rig.service.reset();
  REQUIRE(rig.take(rig.syn(7000)));
  REQUIRE(rig.until([&] { return !rig.sink.frames.empty(); }));
  Frame frame;
  const Packet answer = rig.answer(frame);
  REQUIRE(answer.is_tcp());
  CHECK(answer.tcp_flags == (tcp_flag::rst | tcp_flag::ack));
  CHECK(answer.from() == rig.to);
  CHECK(answer.to() == rig.from);
  CHECK(wire::load32(answer.l4(), 8) == 7001);
  CHECK(rig.relays.size() == 0);
  CHECK(rig.stand_ins.guest_peers.empty());
}

TEST_CASE("an errno of the host's is the ICMP error that means it, or the nearest", "[outbound_tcp]") {
  // EADDRNOTAVAIL, from bind(2): nothing is sent. The others come by the relay's own error.
  Rig rig([](OutboundTcpSetup& setup) { setup.source_v4 = addr("192.0.2.77"); });
  rig.to = at("198.51.100.1", 80);
  REQUIRE(rig.take(rig.syn(), Reach::outside));
  Frame frame;
  const Packet answer = rig.answer(frame);
  REQUIRE(answer.is_icmp());
  CHECK(answer.icmp_type == icmp_type::unreachable);
  CHECK(answer.l4()[1] == 1);  // host
  Packet quoting = answer;
  REQUIRE(read_quote(quoting));
  CHECK(quoting.quoted_from == rig.from);
  CHECK(quoting.quoted_to == rig.to);
  CHECK(rig.relays.size() == 0);
  CHECK(rig.budget.used() == 0);
}

TEST_CASE("copies of a SYN are swallowed, and one that does not come tells that the guest has given up", "[outbound_tcp]") {
  Rig rig;
  rig.fill_queue();
  REQUIRE(rig.take(rig.syn()));
  rig.loop.turn(false);
  CHECK(rig.outbound.under_way() == 1);
  rig.pass(std::chrono::milliseconds(1000));
  REQUIRE(rig.take(rig.syn()));
  CHECK(rig.outbound.counters().retransmits == 1);
  CHECK(rig.outbound.counters().dialled == 1);
  // The next may take twice the time.
  rig.pass(std::chrono::milliseconds(2000));
  CHECK(rig.relays.size() == 1);
  rig.pass(limits::outbound_syn_margin);
  CHECK(rig.relays.size() == 0);
  CHECK(rig.outbound.counters().given_up == 1);
  CHECK(rig.outbound.under_way() == 0);
  CHECK(rig.sink.frames.empty());
  CHECK(rig.budget.used() == 0);
}

TEST_CASE("a SYN of another connection with the same addresses takes their place", "[outbound_tcp]") {
  Rig rig;
  SECTION("while the first is under way") {
    rig.fill_queue();
    REQUIRE(rig.take(rig.syn(1)));
    REQUIRE(rig.take(rig.syn(2)));
    CHECK(rig.relays.size() == 1);
    CHECK(rig.outbound.under_way() == 1);
  }
  SECTION("while it is open, and the guest has reset it") {
    REQUIRE(rig.take(rig.syn(1)));
    REQUIRE(rig.until([&] { return rig.relayed() == 1; }));
    // A copy that was late is none.
    REQUIRE(rig.take(rig.syn(1)));
    CHECK(rig.outbound.counters().superseded == 0);
    UniqueFd guest = accepted(rig.guest);
    const UniqueFd service = accepted(rig.service);
    REQUIRE(send(guest.get(), "last", 4, MSG_NOSIGNAL) == 4);
    reset(std::move(guest));
    REQUIRE(rig.take(rig.syn(2)));
    CHECK(rig.outbound.counters().dialled == 2);
    REQUIRE(rig.until([&] { return rig.relayed() == 2 && rig.relays.size() == 1; }));
    CHECK(rig.log.ends.at(0) == FlowEnd::reset_by_guest);
    char got[8] = {};
    CHECK(recv(service.get(), got, sizeof got, MSG_DONTWAIT) == 4);
    CHECK((recv(service.get(), got, sizeof got, MSG_DONTWAIT) < 0 && errno == ECONNRESET));
  }
  CHECK(rig.outbound.counters().superseded == 1);
  CHECK(rig.sink.frames.empty());
}

TEST_CASE("a SYN with an open relay's addresses ends nothing while the guest's socket is connected", "[outbound_tcp]") {
  Rig rig;
  rig.stand_ins.keeps_duplicate = true;
  REQUIRE(rig.take(rig.syn(1)));
  REQUIRE(rig.until([&] { return rig.relayed() == 1; }));
  const UniqueFd guest = accepted(rig.guest), service = accepted(rig.service);
  bool half_closed = false;
  SECTION("both ways") {}
  SECTION("that has sent FIN and still receives") {
    half_closed = true;
    REQUIRE(shutdown(guest.get(), SHUT_WR) == 0);
    char byte = 0;
    REQUIRE(rig.until([&] { return recv(service.get(), &byte, 1, MSG_DONTWAIT) == 0; }));
  }
  const auto probe_idle = [&] {
    int seconds = 0;
    socklen_t length = sizeof seconds;
    REQUIRE(getsockopt(rig.stand_ins.duplicate.get(), IPPROTO_TCP, TCP_KEEPIDLE, &seconds, &length) == 0);
    return std::chrono::seconds(seconds);
  };
  REQUIRE(rig.take(rig.syn(2)));
  REQUIRE(rig.take(rig.syn(3)));
  CHECK(rig.outbound.counters().challenged == 2);
  CHECK(rig.outbound.counters().superseded == 0);
  CHECK(rig.outbound.counters().dialled == 1);
  CHECK(rig.sink.frames.empty());
  CHECK(probe_idle() == std::chrono::seconds(1));
  CHECK(rig.until([&] { return probe_idle() == limits::relay_probe_idle; }));
  CHECK(carries(rig, service.get(), guest.get()));
  if (!half_closed) CHECK(carries(rig, guest.get(), service.get()));
  CHECK(rig.relays.size() == 1);
  CHECK(rig.log.ends.empty());
  CHECK(rig.relays.next_deadline() == Instant::max());
}

TEST_CASE("a guest that has given up ends the host's connection", "[outbound_tcp]") {
  Rig rig;
  rig.guest.reset();  // its address answers by reset now
  REQUIRE(rig.take(rig.syn()));
  REQUIRE(rig.until([&] { return rig.outbound.counters().given_up == 1; }));
  const UniqueFd service = accepted(rig.service);
  char byte = 0;
  CHECK(rig.until([&] { return recv(service.get(), &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET; }));
  CHECK(rig.relays.size() == 0);
  CHECK(rig.takes_v4());
}

TEST_CASE("a server that ends before the guest is connected is heard after that", "[outbound_tcp]") {
  Rig rig;
  rig.stand_ins.later = true;
  REQUIRE(rig.take(rig.syn()));
  REQUIRE(rig.until([&] { return rig.stand_ins.waiting.size() == 1; }));
  {
    UniqueFd service = accepted(rig.service);
    REQUIRE(send(service.get(), "bye", 3, 0) == 3);
    reset(std::move(service));
  }
  for (int i = 0; i < 10; ++i) rig.loop.turn(false);
  REQUIRE(rig.relays.size() == 1);
  rig.stand_ins.answer_all();
  REQUIRE(rig.until([&] { return rig.relayed() == 1; }));
  const UniqueFd guest = accepted(rig.guest);
  std::array<char, 8> got{};
  REQUIRE(rig.until([&] { return rig.relays.size() == 0; }));
  const ssize_t size = recv(guest.get(), got.data(), got.size(), 0);
  CHECK((size == 3 || (size < 0 && errno == ECONNRESET)));
  if (size == 3) CHECK((recv(guest.get(), got.data(), got.size(), 0) < 0 && errno == ECONNRESET));
}

TEST_CASE("a server that resets before anybody has looked is no refusal", "[outbound_tcp]") {
  Rig rig;
  REQUIRE(rig.take(rig.syn()));
  reset(accepted(rig.service));  // the loop has not turned since
  REQUIRE(rig.until([&] { return rig.relayed() == 1 && rig.relays.size() == 0; }));
  const UniqueFd guest = accepted(rig.guest);
  char byte = 0;
  CHECK((recv(guest.get(), &byte, 1, 0) < 0 && errno == ECONNRESET));
  CHECK(rig.sink.frames.empty());
  CHECK(rig.log.ends == std::vector<FlowEnd>{FlowEnd::reset_by_host});
}

TEST_CASE("a SYN without a stand-in is given to the general path as it was", "[outbound_tcp]") {
  Rig rig;
  rig.stand_ins.error = EADDRNOTAVAIL;
  const Frame syn = rig.syn();
  REQUIRE(rig.take(syn));
  REQUIRE(rig.until([&] { return !rig.general.empty(); }));
  CHECK(rig.general == std::vector<Frame>{syn});
  CHECK(rig.relays.size() == 0);
  CHECK(rig.takes_v4());
}

TEST_CASE("what a stand-in does not speak, and what it cannot be had for, takes the general path", "[outbound_tcp]") {
  const auto require = [](OutboundTcpSetup& setup) { setup.required = true; };
  const Frame mptcp{30, 12, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8}, timestamps{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0};
  SECTION("MPTCP") {
    Rig rig;
    CHECK_FALSE(rig.take(rig.syn(1, mptcp)));
    CHECK(rig.outbound.counters().options == 1);
    CHECK(rig.take(rig.syn(2, timestamps)));
  }
  SECTION("no stand-ins") {
    Rig rig;
    KernelPathState forwards_only = rig.stand_ins.path.now();
    forwards_only.steering.v4.dials = false;
    rig.stand_ins.path.set(forwards_only);
    CHECK_FALSE(rig.take(rig.syn()));
    CHECK(rig.outbound.counters().not_ready == 1);
  }
  SECTION("it is refused where the kernel path is required") {
    Rig rig(require);
    CHECK(rig.take(rig.syn(1, mptcp)));
    Frame frame;
    CHECK(rig.answer(frame).tcp_flags == (tcp_flag::rst | tcp_flag::ack));
  }
  SECTION("no descriptors") {
    Rig rig;
    const std::size_t all = rig.budget.capacity();
    REQUIRE(rig.budget.take(all));
    CHECK_FALSE(rig.take(rig.syn()));
    rig.budget.give(all);
    CHECK(rig.take(rig.syn(2)));
  }
}

TEST_CASE("a stand-in that does not get through means the general path until the steering is proved", "[outbound_tcp]") {
  Rig rig;
  const auto break_one = [&rig](std::uint32_t sequence) {
    rig.stand_ins.later = true;
    REQUIRE(rig.take(rig.syn(sequence)));
    REQUIRE(rig.until([&] { return rig.stand_ins.waiting.size() == 1; }));
    rig.pass(limits::outbound_syn_again - limits::outbound_syn_margin);
    rig.stand_ins.later = false;
  };
  break_one(1);
  CHECK(rig.outbound.counters().broken == 1);
  CHECK(rig.changes == 1);
  CHECK_FALSE(rig.takes_v4());
  CHECK(rig.stand_ins.path.now().outbound_reason() == "IPv4: a stand-in did not reach the guest");
  CHECK(rig.relays.size() == 1);  // the guest may have heard of the stand-in
  CHECK_FALSE(rig.take(rig.syn(1)));
  CHECK(rig.stand_ins.cancelled == 1);
  CHECK(rig.relays.size() == 0);
  REQUIRE(rig.stand_ins.checks.size() == 1);
  rig.stand_ins.end_check();
  CHECK(rig.takes_v4());
  CHECK(rig.changes == 2);
  CHECK_FALSE(rig.take(rig.syn(1)));  // a copy goes the way of the first
  CHECK(rig.take(rig.syn(2)));
  REQUIRE(rig.until([&] { return rig.relayed() == 1; }));
  rig.relays.kill(rig.relays.list(0, 1, std::nullopt).at(0).id);

  // Twice in a row: a proof is not enough at once.
  break_one(3);
  CHECK_FALSE(rig.take(rig.syn(3)));
  rig.stand_ins.end_check();
  CHECK_FALSE(rig.takes_v4());
  CHECK(rig.outbound.next_deadline() < Instant::max());
  rig.pass(limits::outbound_hold);
  REQUIRE(rig.stand_ins.checks.size() == 1);
  rig.stand_ins.end_check();
  CHECK(rig.takes_v4());
}

TEST_CASE("a stand-in whose answer goes astray stays until the answer comes again", "[outbound_tcp]") {
  const bool comes = GENERATE(true, false);
  Rig rig;
  rig.stand_ins.later = true;
  REQUIRE(rig.take(rig.syn(1)));
  REQUIRE(rig.until([&] { return rig.stand_ins.waiting.size() == 1; }));
  rig.pass(limits::outbound_syn_again - limits::outbound_syn_margin);
  CHECK_FALSE(rig.takes_v4());
  // What the guest answered to the stand-in's SYN came by the TAP.
  Frame astray = tcp(rig.from, rig.to, {.sequence = 1, .acknowledgement = 5001, .flags = tcp_flag::syn | tcp_flag::ack});
  const ParsedFrame parsed = parse_packet(astray);
  REQUIRE(!parsed.malformed);
  Relay* const relay = rig.relays.find(rig.from, rig.to);
  REQUIRE(relay != nullptr);
  rig.outbound.see_stray(parsed.packet, *relay);
  rig.pass(limits::outbound_late - limits::outbound_open);
  REQUIRE(rig.relays.size() == 1);
  CHECK(rig.sink.frames.empty());
  if (comes) {
    rig.stand_ins.answer_all();
    REQUIRE(rig.until([&] { return rig.relayed() == 1; }));
    rig.pass(limits::outbound_late);
    CHECK(rig.relays.size() == 1);
    CHECK(rig.sink.frames.empty());
  } else {
    rig.pass(limits::outbound_open);
    CHECK(rig.relays.size() == 0);
    Frame frame;
    const Packet reset = rig.answer(frame);
    CHECK(reset.tcp_flags == tcp_flag::rst);
    CHECK(wire::load32(reset.l4(), 4) == 5001);
  }
}

TEST_CASE("a SYN that comes again though the guest has reset its stand-in takes the general path", "[outbound_tcp]") {
  Rig rig;
  rig.guest.reset();
  REQUIRE(rig.take(rig.syn(1)));
  REQUIRE(rig.until([&] { return rig.relays.size() == 0; }));
  CHECK(rig.outbound.counters().given_up == 1);
  CHECK_FALSE(rig.take(rig.syn(1)));
  CHECK(rig.take(rig.syn(2)));
}

TEST_CASE("a check that gets no answer is asked for again", "[outbound_tcp]") {
  Rig rig;
  rig.stand_ins.later = true;
  REQUIRE(rig.take(rig.syn(1)));
  REQUIRE(rig.until([&] { return rig.stand_ins.waiting.size() == 1; }));
  rig.pass(limits::outbound_syn_again);
  REQUIRE(rig.stand_ins.checks.size() == 1);
  rig.stand_ins.checks.clear();
  rig.pass(limits::outbound_hold_most);
  REQUIRE(rig.stand_ins.checks.size() == 1);
  rig.stand_ins.end_check();
  CHECK(rig.takes_v4());
  CHECK(rig.outbound.next_deadline() == Instant::max());
}

TEST_CASE("a connection to the DNS address is one to the forwarder", "[outbound_tcp]") {
  std::array<int, 2> ends{};
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) == 0);
  UniqueFd ours(ends[0]);
  const UniqueFd forwarder(ends[1]);
  Rig rig([&](OutboundTcpSetup& setup) { setup.dial_dns = [&] { return std::move(ours); }; });
  rig.to = at("10.0.2.3", 53);
  REQUIRE(rig.take(rig.syn(), Reach::dns));
  REQUIRE(rig.until([&] { return rig.relayed() == 1; }));
  const UniqueFd guest = accepted(rig.guest);
  CHECK(carries(rig, guest.get(), forwarder.get()));
  CHECK(carries(rig, forwarder.get(), guest.get()));
  // It takes no second one.
  ++rig.from.port;
  REQUIRE(rig.take(rig.syn(2), Reach::dns));
  CHECK(rig.outbound.counters().refused == 1);
}

TEST_CASE("a reset of the guest's while the host dials ends that", "[outbound_tcp]") {
  Rig rig;
  rig.fill_queue();
  REQUIRE(rig.take(rig.syn()));
  Frame frame = rig.syn(1001, {}, tcp_flag::rst);
  const ParsedFrame parsed = parse_packet(frame);
  Relay* const relay = rig.relays.find(rig.from, rig.to);
  REQUIRE(relay != nullptr);
  rig.outbound.take_early(parsed.packet, *relay);
  CHECK(rig.relays.size() == 0);
  CHECK(rig.outbound.under_way() == 0);
}

TEST_CASE("a flow that is killed while the host dials is told to the guest", "[outbound_tcp]") {
  Rig rig;
  rig.fill_queue();
  REQUIRE(rig.take(rig.syn()));
  REQUIRE(rig.relays.kill(rig.relays.list(0, 1, std::nullopt).at(0).id));
  Frame frame;
  CHECK((rig.answer(frame).tcp_flags & tcp_flag::rst) != 0);
  CHECK(rig.outbound.under_way() == 0);
}

TEST_CASE("the agent's proofs are not dialled", "[outbound_tcp]") {
  Rig rig;
  rig.to = OutboundTcp::proof_address(plan(), Family::v4).value();
  Frame frame = rig.syn();
  CHECK(rig.outbound.is_proof(parse_packet(frame).packet));
  rig.to.port = 53;
  frame = rig.syn();
  CHECK_FALSE(rig.outbound.is_proof(parse_packet(frame).packet));
}

}  // namespace nh::test
