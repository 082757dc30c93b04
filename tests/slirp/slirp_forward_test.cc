// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/slirp/slirp_forward.h"

#include "tests/slirp/slirp_rig.h"

namespace nh::test {
namespace {

struct Fixture : SlirpRig {
  static Destination service(std::uint16_t port) {
    return {.v4 = addr("10.0.2.100"), .v6 = addr("fd00::100"), .port = port};
  }
  // The port is one that no socket has, of either family.
  static Endpoint wildcard() {
    auto probe = open_listener(Transport::tcp, at("::", 0));
    REQUIRE(probe);
    return probe->bound;
  }
  static bool is_free(const Endpoint& endpoint) {
    return open_listener(Transport::tcp, endpoint, {}, Wildcard::v6_only).ok();
  }
  SlirpForward forward{*stack};
};

TEST_CASE("a forward by libslirp leads its clients to the destination until it is removed", "[slirp]") {
  Fixture f;
  const auto bound = f.forward.add(1, 1, ListenAt{loopback()}, Fixture::service(80));
  REQUIRE(bound);
  CHECK(bound->port != 0);
  const UniqueFd client = client_of(*bound);
  REQUIRE(client);
  CHECK(f.segment(tcp_flag::syn)->to() == at("10.0.2.100", 80));
  CHECK_FALSE(f.forward.paused());
  f.forward.remove(1);
  f.forward.remove(1);
  CHECK_FALSE(client_of(*bound));
  CHECK(f.stack->tcp_flows() == 1);
}

TEST_CASE("a forward by libslirp at [::] has both families, or IPv6 alone", "[slirp]") {
  Fixture f;
  const bool both = GENERATE(true, false);
  const Endpoint place = Fixture::wildcard();
  const auto bound = f.forward.add(1, 1, ListenAt{place, both ? Wildcard::dual : Wildcard::v6_only}, Fixture::service(80));
  REQUIRE(bound);
  CHECK(*bound == place);
  const UniqueFd v6 = client_of(at("::1", place.port)), v4 = client_of(loopback(place.port));
  CHECK(v6);
  CHECK(static_cast<bool>(v4) == both);
  f.forward.remove(1);
  CHECK(Fixture::is_free(place));
  CHECK(Fixture::is_free(at("0.0.0.0", place.port)));
}

TEST_CASE("a listener of libslirp's goes to another rule, and to no other destination", "[slirp]") {
  Fixture f;
  const auto bound = f.forward.add(1, 1, ListenAt{loopback()}, Fixture::service(80));
  REQUIRE(bound);
  CHECK(f.forward.change(1, 2, Fixture::service(80)));
  const auto refused = f.forward.change(1, 2, Fixture::service(81));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Code::unsupported);
  CHECK(f.forward.change(7, 2, Fixture::service(81)));  // there is none
  const UniqueFd client = client_of(*bound);
  REQUIRE(client);
  CHECK(f.segment(tcp_flag::syn)->to() == at("10.0.2.100", 80));
}

TEST_CASE("after an error libslirp has no listener, of neither family, and the number is free", "[slirp]") {
  Fixture f;
  const Endpoint place = Fixture::wildcard();
  const Endpoint v4_half = at("0.0.0.0", place.port);
  const ListenAt everywhere{place};

  SECTION("the port is taken") {
    const UniqueFd other = listener_at(place);
    const auto refused = f.forward.add(1, 1, everywhere, Fixture::service(80));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::in_use);
    CHECK(refused.error().field == "host_port");
  }
  SECTION("the port is taken for IPv4 alone") {
    const UniqueFd other = listener_at(v4_half);
    const auto refused = f.forward.add(1, 1, everywhere, Fixture::service(80));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::in_use);
    CHECK(refused.error().message().find(v4_half.text()) != std::string::npos);
    CHECK(Fixture::is_free(place));
  }
  SECTION("the destination has no IPv4 address") {
    const auto refused = f.forward.add(1, 1, everywhere, {.v4 = std::nullopt, .v6 = addr("fd00::100"), .port = 80});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::unsupported);
  }
  // The first and third call are libslirp's own.
  for (int SocketFaults::*const calls : {&SocketFaults::listens_until_failure, &SocketFaults::names_until_failure}) {
    for (const int nth : {2, 4}) {
      DYNAMIC_SECTION("system call " << (calls == &SocketFaults::listens_until_failure ? "listen " : "getsockname ")
                                     << nth) {
        faults.*calls = nth;
        const auto refused = f.forward.add(1, 1, everywhere, Fixture::service(80));
        CHECK(faults.*calls == 0);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == Code::exhausted);
      }
    }
  }

  CHECK(Fixture::is_free(place));
  CHECK(Fixture::is_free(v4_half));
  CHECK(f.forward.add(1, 1, everywhere, Fixture::service(80)));
}

}  // namespace
}  // namespace nh::test
