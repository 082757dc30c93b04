// SPDX-License-Identifier: BSD-3-Clause
#include "tests/slirp/slirp_rig.h"

namespace nh::test {
namespace {

TEST_CASE("a client of a forward reaches the guest without a turn in between", "[slirp]") {
  SlirpRig rig;
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
  SlirpRig rig;
  for (int i = 0; i < 3; ++i) {
    faults.take_descriptors = true;
    const auto bound = rig.stack->add_forward(loopback(), at("10.0.2.100", 80));
    faults.take_descriptors = false;
    faults.taken.clear();
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
  SlirpRig rig;
  Endpoint free_port;
  {
    const UniqueFd probe = listener_at(loopback());
    free_port = name_of(probe);
  }
  int& calls = GENERATE(true, false) ? faults.listens_until_failure : faults.names_until_failure;
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
  SlirpRig rig;
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
  SlirpRig rig;
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
  SlirpRig rig;
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
  SlirpRig rig;
  const auto bound = rig.stack->add_forward(loopback(), at("10.0.2.100", 80));
  REQUIRE(bound.ok());
  faults.sockets_fail = true;
  rig.stack->input(udp(at("10.0.2.100", 40000), at("192.0.2.1", 9), text("x")));
  faults.sockets_fail = false;
  CHECK(rig.stack->udp_flows() == 0);
  rig.stack->serve();
  const UniqueFd client = client_of(*bound);
  REQUIRE(client);
  CHECK(rig.segment(tcp_flag::syn));
  CHECK(rig.stack->tcp_flows() == 1);
}

TEST_CASE("a guest's SYN is answered when the host's connection is open", "[slirp]") {
  SlirpRig rig;
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
