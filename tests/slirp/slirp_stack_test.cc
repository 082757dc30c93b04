// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/slirp/slirp_stack.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "tests/support/catch.h"
#include "tests/support/frame_recorder.h"
#include "tests/support/frames.h"

namespace {

// What goes on between the calls of libslirp and ours, or goes wrong in them. This program's definitions come before those of the
// C library, for libslirp too.
bool take_descriptors = false;  // as another thread does: the lowest free one is gone when libslirp asks for a socket
std::vector<nh::UniqueFd> taken;
bool sockets_fail = false;
int listens_until_failure = 0;  // the n-th listen(2) fails; 0: none
int names_until_failure = 0;    // the n-th getsockname(2) fails; 0: none

bool fails_now(int& calls) {
  if (calls == 0 || --calls != 0) return false;
  errno = ENOBUFS;
  return true;
}

}  // namespace

extern "C" int socket(int domain, int type, int protocol) noexcept {
  if (sockets_fail) {
    errno = EMFILE;
    return -1;
  }
  if (take_descriptors) taken.emplace_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
  return static_cast<int>(syscall(SYS_socket, domain, type, protocol));
}
extern "C" int listen(int fd, int backlog) noexcept {
  return fails_now(listens_until_failure) ? -1 : static_cast<int>(syscall(SYS_listen, fd, backlog));
}
extern "C" int getsockname(int fd, sockaddr* name, socklen_t* size) noexcept {
  return fails_now(names_until_failure) ? -1 : static_cast<int>(syscall(SYS_getsockname, fd, name, size));
}

namespace nh::test {
namespace {

UniqueFd stream_socket(Family family) {
  return UniqueFd(socket(family == Family::v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

UniqueFd listener_at(const Endpoint& endpoint) {
  UniqueFd fd = stream_socket(endpoint.address.family());
  const SockAddr name(endpoint);
  if (bind(fd.get(), name.get(), name.length) != 0 || listen(fd.get(), 8) != 0) return {};
  return fd;
}

Endpoint name_of(const UniqueFd& fd) {
  SockAddr name;
  REQUIRE(getsockname(fd.get(), name.get(), &name.length) == 0);
  return name.endpoint().value();
}

UniqueFd client_of(const Endpoint& endpoint) {
  UniqueFd fd = stream_socket(endpoint.address.family());
  const SockAddr name(endpoint);
  if (connect(fd.get(), name.get(), name.length) != 0) return {};
  return fd;
}

Endpoint loopback(std::uint16_t port = 0) {
  return {Address::loopback(Family::v4), port};
}

struct Rig {
  Loop loop;
  EpollSet epoll = EpollSet::create().value();
  FrameRecorder guest;
  std::unique_ptr<SlirpStack> stack =
      SlirpStack::create({.plan = plan(), .allow_host_loopback = true}, loop, epoll, guest).value();

  Rig() {
    // libslirp learns the guest's MAC from its ARP requests, and sends it no TCP segment before.
    stack->input(arp(1, addr("10.0.2.100"), addr("10.0.2.2")));
    guest.frames.clear();
  }
  // One turn; waits at most a second for an event.
  void turn() {
    epoll.dispatch(1000);
    stack->serve();
  }
  // The first TCP segment with these flags that the guest gets within a few turns.
  std::optional<Packet> segment(std::uint8_t flags) {
    for (int turns = 0; turns < 5; ++turns) {
      for (Frame& frame : guest.frames) {
        const Packet packet = parse_packet(frame).packet;
        if (packet.is_tcp() && packet.tcp_flags == flags) return packet;
      }
      turn();
    }
    return std::nullopt;
  }
};

TEST_CASE("a client of a forward reaches the guest without a turn in between", "[slirp]") {
  Rig rig;
  const auto bound = rig.stack->add_forward(loopback(), at("10.0.2.100", 80));
  REQUIRE(bound.ok());
  CHECK(bound->address == Address::loopback(Family::v4));
  CHECK(bound->port != 0);
  const UniqueFd client = client_of(*bound);
  REQUIRE(client);
  CHECK(rig.epoll.dispatch());
  rig.stack->serve();
  REQUIRE(rig.guest.frames.size() == 1);
  const Packet syn = parse_packet(rig.guest.frames[0]).packet;
  CHECK(syn.tcp_flags == tcp_flag::syn);
  CHECK(syn.to() == at("10.0.2.100", 80));
  CHECK(syn.from() == Endpoint{addr("10.0.2.2"), name_of(client).port});
  CHECK(rig.stack->tcp_flows() == 1);
}

// Relay threads open pipes while the main thread adds a forward.
TEST_CASE("a forward is found although another thread takes the lowest descriptors", "[slirp]") {
  Rig rig;
  for (int i = 0; i < 3; ++i) {
    take_descriptors = true;
    const auto bound = rig.stack->add_forward(loopback(), at("10.0.2.100", 80));
    take_descriptors = false;
    taken.clear();
    REQUIRE(bound.ok());
    rig.stack->serve();
    const UniqueFd client = client_of(*bound);
    REQUIRE(client);
    REQUIRE(rig.segment(tcp_flag::syn));
    rig.guest.frames.clear();
    // None of libslirp's other sockets was taken for the listener.
    CHECK(rig.stack->tcp_flows() == static_cast<std::size_t>(i + 1));
  }
}

TEST_CASE("a forward that fails half-way is undone", "[slirp]") {
  Rig rig;
  Endpoint free_port;
  {
    const UniqueFd probe = listener_at(loopback());
    free_port = name_of(probe);
  }
  int& calls = GENERATE(true, false) ? listens_until_failure : names_until_failure;
  calls = 2;  // the first call is libslirp's
  const auto bound = rig.stack->add_forward(free_port, at("10.0.2.100", 80));
  REQUIRE(calls == 0);
  REQUIRE_FALSE(bound.ok());
  CHECK(bound.error().code == Code::exhausted);
  CHECK(listener_at(free_port));
  rig.stack->serve();
  CHECK(rig.stack->tcp_flows() == 0);
}

TEST_CASE("a forward that cannot be had says why", "[slirp]") {
  Rig rig;
  const UniqueFd other = listener_at(loopback());
  const auto taken_port = rig.stack->add_forward(name_of(other), at("10.0.2.100", 80));
  REQUIRE_FALSE(taken_port.ok());
  CHECK(taken_port.error().code == Code::in_use);
  const auto two_families = rig.stack->add_forward(loopback(), at("fd00::100", 80));
  REQUIRE_FALSE(two_families.ok());
  CHECK(two_families.error().code == Code::unsupported);
  CHECK(two_families.error().field == "guest_addr");
}

TEST_CASE("a removed forward takes no client, and its port can be had again", "[slirp]") {
  Rig rig;
  const auto bound = rig.stack->add_forward(loopback(), at("10.0.2.100", 80));
  const auto other = rig.stack->add_forward(loopback(), at("10.0.2.100", 81));
  REQUIRE(bound.ok());
  REQUIRE(other.ok());
  rig.stack->serve();
  rig.stack->remove_forward(*bound);
  CHECK_FALSE(client_of(*bound));
  rig.stack->serve();
  const UniqueFd client = client_of(*other);
  REQUIRE(client);
  CHECK(rig.segment(tcp_flag::syn)->to() == at("10.0.2.100", 81));
  CHECK(rig.stack->add_forward(*bound, at("10.0.2.100", 80)).ok());
}

TEST_CASE("clients wait while all sockets of the budget are in use", "[slirp]") {
  Rig rig;
  const auto bound = rig.stack->add_forward(loopback(), at("10.0.2.100", 80));
  REQUIRE(bound.ok());
  rig.stack->set_socket_budget(0);
  rig.stack->serve();
  const UniqueFd client = client_of(*bound);
  REQUIRE(client);
  // The event is there at the first of these, and is no longer waited for at the second.
  for (int i = 0; i < 2; ++i) {
    rig.epoll.dispatch();
    rig.stack->serve();
  }
  CHECK_FALSE(rig.epoll.dispatch());
  CHECK(rig.stack->tcp_flows() == 0);
  rig.stack->set_socket_budget(1);
  rig.stack->serve();
  CHECK(rig.segment(tcp_flag::syn));
  CHECK(rig.stack->tcp_flows() == 1);
}

// libslirp 4.7 announces the socket of a UDP flow as -1 then (udp_attach).
TEST_CASE("a datagram without a descriptor for its flow is lost, and nothing else", "[slirp]") {
  Rig rig;
  const auto bound = rig.stack->add_forward(loopback(), at("10.0.2.100", 80));
  REQUIRE(bound.ok());
  sockets_fail = true;
  rig.stack->input(udp(at("10.0.2.100", 40000), at("192.0.2.1", 9), text("x")));
  sockets_fail = false;
  CHECK(rig.stack->udp_flows() == 0);
  rig.stack->serve();
  const UniqueFd client = client_of(*bound);
  REQUIRE(client);
  CHECK(rig.segment(tcp_flag::syn));
  CHECK(rig.stack->tcp_flows() == 1);
}

TEST_CASE("a guest's SYN is answered when the host's connection is open", "[slirp]") {
  Rig rig;
  const UniqueFd service = listener_at(loopback());
  const Endpoint guest_end = at("10.0.2.100", 40000), gateway{addr("10.0.2.2"), name_of(service).port};
  rig.stack->input(tcp(guest_end, gateway));
  rig.stack->serve();
  const auto answer = rig.segment(tcp_flag::syn | tcp_flag::ack);
  REQUIRE(answer);
  CHECK(answer->from() == gateway);
  CHECK(answer->to() == guest_end);
  CHECK(rig.stack->tcp_flows() == 1);
  SockAddr peer;
  const UniqueFd accepted(accept4(service.get(), peer.get(), &peer.length, SOCK_CLOEXEC));
  REQUIRE(accepted);
  CHECK(rig.stack->owns_flow(peer.endpoint().value()));
  CHECK_FALSE(rig.stack->owns_flow(name_of(service)));
}

}  // namespace
}  // namespace nh::test
