// SPDX-License-Identifier: BSD-3-Clause
// Longer than most: every kind of client and destination, in one rig.
// Clients of forwards: how they are accepted, led on, refused and made to wait.
#include "netstack/tcp/tcp_forward.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "tests/relay/relay_rig.h"

using namespace nh;
using namespace nh::test;

namespace {

const auto ignored = std::signal(SIGPIPE, SIG_IGN);

std::size_t open_fds() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

void raise_fd_limit() {
  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = limit.rlim_max;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

// Waits until the client's connection is over; gives the error, 0 for an orderly end.
int outcome(RelayRig& rig, const UniqueFd& client) {
  pollfd state{.fd = client.get(), .events = POLLIN, .revents = 0};
  REQUIRE(rig.until([&] { return poll(&state, 1, 0) == 1; }));
  char byte = 0;
  return recv(client.get(), &byte, 1, MSG_DONTWAIT) == 0 ? 0 : errno;
}

void ping(RelayRig& rig, int from, int to) {
  REQUIRE(send(from, "ping", 4, MSG_NOSIGNAL) == 4);
  char text[8];
  REQUIRE(rig.until([&] { return recv(to, text, sizeof text, MSG_DONTWAIT) == 4; }));
}

struct UnixName {
  explicit UnixName(const std::string& path) {
    name.sun_family = AF_UNIX;
    std::copy(path.begin(), path.end(), name.sun_path);
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&name); }
  sockaddr_un name{};
};

struct Directory {
  Directory() {
    char path[] = "/tmp/nh-relay-XXXXXX";
    REQUIRE(mkdtemp(path) != nullptr);
    text = path;
  }
  ~Directory() { std::filesystem::remove_all(text); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  std::string text;
};

UniqueFd unix_listener(const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const UnixName name(path);
  REQUIRE(bind(fd.get(), name.get(), sizeof name.name) == 0);
  REQUIRE(listen(fd.get(), 16) == 0);
  return fd;
}

}  // namespace

TEST_CASE("a client on loopback appears as the gateway, with its port", "[tcp_forward]") {
  RelayRig rig;
  rig.serve();
  const Joined flow = rig.join();
  const Endpoint client = local_name(flow.client.get()).value();
  REQUIRE(rig.stand_ins.guest_peers.size() == 1);
  CHECK(rig.stand_ins.guest_peers[0] == at("10.0.2.2", client.port));
  const FlowRecord record = rig.relays.list(0, 10, 1).at(0);
  CHECK(record.host_peer == client);
  CHECK(record.host_local == rig.host);
  CHECK(record.guest == local_name(rig.service.get()).value());
  CHECK(record.open);
  CHECK(record.direction == FlowDirection::in);
  // What the stand-in is really bound to.
  CHECK(rig.relays.find(record.guest, record.guest_peer) != nullptr);
  CHECK(rig.relays.find(record.guest_peer, record.guest) == nullptr);
}

TEST_CASE("an IPv6 service is reached by an IPv4 client, which appears as the gateway", "[tcp_forward]") {
  RelayRig rig;
  rig.serve(1, "::1");
  const Joined flow = rig.join();
  ping(rig, flow.client.get(), flow.service.get());
  CHECK(rig.stand_ins.guest_peers[0].address == addr("fd00::2"));
}

TEST_CASE("a client whom the guest refuses, or does not answer, is reset", "[tcp_forward]") {
  struct Case {
    int error;
    FlowEnd end;
  };
  for (const Case& one :
       {Case{0, FlowEnd::refused}, Case{ECONNREFUSED, FlowEnd::refused}, Case{ETIMEDOUT, FlowEnd::timed_out},
        Case{EHOSTUNREACH, FlowEnd::unreachable}, Case{EADDRNOTAVAIL, FlowEnd::exhausted}}) {
    RelayRig rig;
    rig.serve();
    rig.service.reset();  // nobody listens any longer
    rig.stand_ins.error = one.error;
    const UniqueFd client = rig.dial();
    CHECK(outcome(rig, client) == ECONNRESET);
    CHECK(rig.log.ends == std::vector{one.end});
    CHECK(rig.log.opened.empty());
    CHECK(rig.relays.of(1).flows_failed == 1);
    CHECK(rig.relays.of(1).flows == 0);
  }
}

TEST_CASE("a client that waits for its stand-in is a flow; if it is reset nothing is left", "[tcp_forward]") {
  RelayRig rig;
  rig.serve();
  rig.stand_ins.later = true;
  const std::size_t before = open_fds();
  UniqueFd client = rig.dial();
  REQUIRE(rig.until([&] { return rig.stand_ins.waiting.size() == 1; }));
  CHECK_FALSE(rig.relays.list(0, 10, 1).at(0).open);
  reset(std::move(client));
  REQUIRE(rig.until([&] { return rig.stand_ins.cancelled == 1; }));
  CHECK(rig.relays.size() == 0);
  CHECK(rig.log.ends == std::vector{FlowEnd::reset_by_host});
  CHECK(open_fds() == before);

  SECTION("one that has sent and ended is served all the same") {
    client = rig.dial();
    REQUIRE(send(client.get(), "ask", 3, MSG_NOSIGNAL) == 3);
    REQUIRE(shutdown(client.get(), SHUT_WR) == 0);
    REQUIRE(rig.until([&] { return rig.stand_ins.waiting.size() == 1; }));
    rig.stand_ins.answer_all();
    UniqueFd service;
    char text[8];
    REQUIRE(rig.until([&] {
      if (!service) service = rig.accept_service();
      return service && recv(service.get(), text, sizeof text, MSG_DONTWAIT) == 3;
    }));
    REQUIRE(send(service.get(), "answer", 6, MSG_NOSIGNAL) == 6);
    service.reset();
    REQUIRE(rig.until([&] { return recv(client.get(), text, sizeof text, MSG_DONTWAIT) == 6; }));
    CHECK(outcome(rig, client) == 0);
    CHECK(rig.log.ends.back() == FlowEnd::closed);
  }
}

TEST_CASE("what a listener accepts has a relay's options", "[tcp_forward]") {
  const UniqueFd listener = RelayRig::listening("127.0.0.1");
  prepare_stream(listener.get());
  const UniqueFd client = FakeStandIns::dial(local_name(listener.get()).value()).value();
  pollfd ready{.fd = listener.get(), .events = POLLIN, .revents = 0};
  REQUIRE(poll(&ready, 1, 5000) == 1);
  const UniqueFd accepted(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  const auto option = [&](int level, int name) {
    int value = 0;
    socklen_t length = sizeof value;
    REQUIRE(getsockopt(accepted.get(), level, name, &value, &length) == 0);
    return value;
  };
  CHECK(option(IPPROTO_TCP, TCP_NODELAY) == 1);
  CHECK(option(SOL_SOCKET, SO_OOBINLINE) == 1);
  CHECK(option(SOL_SOCKET, SO_KEEPALIVE) == 1);
  CHECK(option(IPPROTO_TCP, TCP_KEEPIDLE) == limits::relay_probe_idle.count());
  CHECK(option(IPPROTO_TCP, TCP_KEEPINTVL) == limits::relay_probe_interval.count());
  CHECK(option(IPPROTO_TCP, TCP_KEEPCNT) == limits::relay_probes);
}

TEST_CASE("a removed listener is closed, its flows live on", "[tcp_forward]") {
  RelayRig rig;
  rig.serve();
  const Joined flow = rig.join();
  rig.forward.remove(1);
  rig.forward.remove(1);
  ping(rig, flow.client.get(), flow.service.get());
  const UniqueFd late = FakeStandIns::dial(rig.host).value();
  pollfd state{.fd = late.get(), .events = POLLOUT, .revents = 0};
  REQUIRE(poll(&state, 1, 5000) == 1);
  CHECK(take_error(late.get()) == ECONNREFUSED);
  rig.relays.forget_rule(1);
  CHECK(rig.relays.of(1).flows == 1);
  REQUIRE(rig.relays.kill(rig.relays.list(0, 1, 1).at(0).id));
  CHECK(rig.until([&] { return rig.relays.of(1).flows_opened == 0; }));
}

TEST_CASE("without descriptors in the budget clients wait, nothing spins, and they are served later", "[tcp_forward]") {
  RelayRig rig(4);  // two flows
  rig.serve();
  std::vector<Joined> flows;
  flows.push_back(rig.join());
  flows.push_back(rig.join());
  const UniqueFd third = rig.dial();
  REQUIRE(rig.until([&] { return rig.forward.paused(); }));
  while (rig.epoll.dispatch()) {
  }
  CHECK_FALSE(rig.epoll.dispatch());
  CHECK(rig.forward.next_deadline() == Instant::max());
  CHECK(rig.relays.size() == 2);
  flows.pop_back();
  REQUIRE(rig.until([&] { return rig.relays.counters().all.flows_opened == 3; }));
}

TEST_CASE("a listener that somebody has shut down is left alone, and nothing spins", "[tcp_forward]") {
  RelayRig rig;
  UniqueFd listener = RelayRig::listening("127.0.0.1");
  const UniqueFd other(fcntl(listener.get(), F_DUPFD_CLOEXEC, 0));
  Destination destination;
  destination.v4 = addr("127.0.0.1");
  destination.port = 1;
  REQUIRE(rig.forward.add(7, 7, std::move(listener), destination).ok());
  REQUIRE(shutdown(other.get(), SHUT_RDWR) == 0);
  rig.epoll.dispatch();
  for (int i = 0; i < 3; ++i) CHECK_FALSE(rig.epoll.dispatch());
  CHECK(rig.forward.counters().aborted == 0);
  rig.forward.remove(7);
}

TEST_CASE("a listener that somebody has made wait takes no clients, and the loop goes on", "[tcp_forward]") {
  RelayRig rig;
  rig.service = RelayRig::listening("127.0.0.1");
  UniqueFd listener = RelayRig::listening("127.0.0.1");
  const UniqueFd other(fcntl(listener.get(), F_DUPFD_CLOEXEC, 0));
  rig.host = local_name(listener.get()).value();
  Destination destination{.v4 = addr("127.0.0.1"), .v6 = std::nullopt, .port = local_name(rig.service.get()).value().port};
  REQUIRE(rig.forward.add(7, 7, std::move(listener), destination).ok());
  REQUIRE(fcntl(other.get(), F_SETFL, 0) == 0);
  const UniqueFd client = rig.dial();
  rig.epoll.dispatch();
  for (int i = 0; i < 3; ++i) CHECK_FALSE(rig.epoll.dispatch());
  CHECK(rig.forward.counters().accepted == 0);
}

TEST_CASE("a client whose family has no stand-ins is led to the guest's address of the other one", "[tcp_forward]") {
  RelayRig rig;
  rig.service = RelayRig::listening("::1");
  const std::uint16_t port = local_name(rig.service.get()).value().port;
  const UniqueFd v4_service = RelayRig::listening("127.0.0.1", port);
  rig.host = rig.open_forward(1, Destination{.v4 = addr("127.0.0.1"), .v6 = addr("::1"), .port = port});
  // The listener is IPv4's: its clients are led to IPv4 while that works.
  rig.stand_ins.path.set(kernel_path_state(KernelPathState::Phase::ready, Family::v6));
  const Joined flow = rig.join();
  ping(rig, flow.client.get(), flow.service.get());
  CHECK(rig.stand_ins.guest_peers.back().address == addr("fd00::2"));
  for (const auto only : {std::optional<Family>(), std::optional<Family>(Family::v4)}) {
    rig.stand_ins.path.set(kernel_path_state(KernelPathState::Phase::ready, only));
    const UniqueFd client = rig.dial();
    UniqueFd accepted;
    REQUIRE(rig.until([&] {
      accepted.reset(accept4(v4_service.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      return static_cast<bool>(accepted);
    }));
    CHECK(rig.stand_ins.guest_peers.back().address == addr("10.0.2.2"));
  }
}

TEST_CASE("at the greatest number of flows clients wait", "[tcp_forward]") {
  RelayRig rig(4096, 1);
  rig.serve();
  Joined first = rig.join();
  const UniqueFd second = rig.dial();
  REQUIRE(rig.until([&] { return rig.forward.paused(); }));
  first = {};
  REQUIRE(rig.until([&] { return rig.relays.counters().all.flows_opened == 2; }));
}

TEST_CASE("when the process has no descriptor left accepting pauses without spinning", "[tcp_forward]") {
  RelayRig rig;
  rig.serve();
  const Joined flow = rig.join();
  const UniqueFd client = rig.dial();
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  const bool paused = rig.until([&] { return rig.forward.paused(); });
  bool quiet = false;
  for (int i = 0; i < 100 && !quiet; ++i) quiet = !rig.epoll.dispatch();
  const bool waits = rig.forward.next_deadline() != Instant::max();
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(paused);
  CHECK(quiet);
  CHECK(waits);
  REQUIRE(rig.until([&] { return rig.relays.counters().all.flows_opened == 2; }));
  ping(rig, flow.client.get(), flow.service.get());
}

TEST_CASE("while stand-ins are being prepared a bounded number of clients waits for them", "[tcp_forward]") {
  raise_fd_limit();
  RelayRig rig;
  rig.serve();
  rig.stand_ins.later = true;
  rig.stand_ins.path.set(kernel_path_state(KernelPathState::Phase::preparing));
  std::vector<UniqueFd> clients;
  for (std::size_t i = 0; i < limits::relay_waiting + 10; ++i) clients.push_back(rig.dial());
  REQUIRE(rig.until([&] { return rig.stand_ins.waiting.size() >= limits::relay_waiting && rig.forward.paused(); }));
  CHECK(rig.stand_ins.waiting.size() == limits::relay_waiting);
  rig.stand_ins.path.set(kernel_path_state(KernelPathState::Phase::ready));
  rig.stand_ins.later = false;
  rig.stand_ins.answer_all();
  REQUIRE(rig.until([&] { return rig.relays.counters().all.flows_opened == clients.size(); }));
}

TEST_CASE("a listener of the guest leads to a host service, by address or by path", "[tcp_forward]") {
  const Directory directory;
  for (const bool by_path : {false, true}) {
    RelayRig rig;
    Destination destination;
    if (by_path) {
      destination.host_path = directory.text + "/service";
      rig.service = unix_listener(destination.host_path);
    } else {
      rig.service = RelayRig::listening("127.0.0.1");
      destination.host = local_name(rig.service.get()).value();
    }
    rig.host = rig.open_forward(7, destination);
    const Joined flow = rig.join();
    ping(rig, flow.client.get(), flow.service.get());
    ping(rig, flow.service.get(), flow.client.get());
    REQUIRE(rig.until(
        [&] { return rig.relays.list(0, 10, 7).at(0).bytes_to_host == 4; }));  // a relay thread counts it a moment later
    const FlowRecord record = rig.relays.list(0, 10, 7).at(0);
    CHECK(record.direction == FlowDirection::out);
    CHECK(record.guest == local_name(flow.client.get()).value());
    CHECK(record.guest_peer == rig.host);
    CHECK(record.host_peer == destination.host_endpoint());
    CHECK(rig.relays.find(record.guest, record.guest_peer) == nullptr);
    rig.service.reset();
    const UniqueFd refused = rig.dial();
    CHECK(outcome(rig, refused) == ECONNRESET);
    CHECK(rig.log.ends.back() == FlowEnd::refused);
  }
}

TEST_CASE("clients of a Unix socket are led to the guest, half-close and all", "[tcp_forward]") {
  const Directory directory;
  RelayRig rig;
  rig.service = RelayRig::listening("127.0.0.1");
  Destination destination;
  destination.v4 = addr("127.0.0.1");
  destination.port = local_name(rig.service.get())->port;
  const UnixName name(directory.text + "/forward");
  REQUIRE(rig.forward.add(1, 1, unix_listener(name.name.sun_path), destination).ok());
  const UniqueFd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  REQUIRE(connect(client.get(), name.get(), sizeof name.name) == 0);
  UniqueFd service;
  REQUIRE(rig.until([&] {
    if (!service) service = rig.accept_service();
    return static_cast<bool>(service);
  }));
  CHECK(rig.stand_ins.guest_peers[0] == at("10.0.2.2", 0));
  constexpr std::size_t size = 5000000;
  Stream up(client.get(), service.get(), size, 30000), down(service.get(), client.get(), size, 30000);
  REQUIRE(rig.until([&] {
    up.step();
    down.write_some();
    if (up.complete()) down.read_some();
    return up.complete() && down.complete();
  }));
  CHECK(up.equal());
  CHECK(down.equal());
  REQUIRE(shutdown(client.get(), SHUT_WR) == 0);
  CHECK(outcome(rig, service) == 0);
  ping(rig, service.get(), client.get());
  service.reset();
  CHECK(outcome(rig, client) == 0);
  REQUIRE(rig.until([&] { return rig.relays.size() == 0; }));
  CHECK(rig.log.ends == std::vector{FlowEnd::closed});
}

TEST_CASE("connections that come and go leave no descriptor behind", "[tcp_forward]") {
  constexpr int rounds = 50, together = 20;
  RelayRig rig;
  rig.serve();
  const std::size_t before = open_fds(), taken = rig.budget.used();
  for (int round = 0; round < rounds; ++round) {
    std::vector<UniqueFd> clients, services;
    for (int i = 0; i < together; ++i) clients.push_back(rig.dial());
    REQUIRE(rig.until([&] {
      if (UniqueFd one = rig.accept_service()) services.push_back(std::move(one));
      return services.size() == together;
    }));
    if (round % 3 == 0)
      for (UniqueFd& client : clients) reset(std::move(client));
    clients.clear();
    if (round % 3 == 1) REQUIRE(rig.until([&] { return rig.relays.size() == together; }));
    services.clear();
    REQUIRE(rig.until([&] { return rig.relays.size() == 0; }));
  }
  // But for pipes that wait for the next flow.
  const std::size_t idle = 2 * rig.relays.pipes();
  CHECK(rig.relays.pipes() <= limits::relay_idle_pipes);
  CHECK(open_fds() == before + idle);
  CHECK(rig.budget.used() == taken + (rig.threaded() ? 0 : idle));  // a thread's have their place already
  CHECK(rig.relays.of(1).flows_opened + rig.relays.of(1).flows_failed == rounds * together);
}
