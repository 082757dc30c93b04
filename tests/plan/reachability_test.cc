// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/plan/reachability.h"

#include "tests/support/catch.h"
#include "tests/support/frames.h"

using namespace nh;
using namespace nh::test;

namespace {

constexpr std::uint8_t tcp_ = protocol::tcp, udp_ = protocol::udp, icmp_ = protocol::icmp, icmpv6_ = protocol::icmpv6;

Reach judge(std::uint8_t protocol, std::string_view address, std::uint16_t port, const ReachRules& rules = {}) {
  return Reachability(plan(), rules).judge(protocol, addr(address), port);
}

}  // namespace

TEST_CASE("no spelling of the host's loopback is reached") {
  for (const char* address :
       {"10.0.2.2", "255.255.255.255", "10.0.2.255", "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254", "::", "::1",
        "::ffff:127.0.0.1", "::ffff:10.0.2.2", "::ffff:8.8.8.8", "::127.0.0.1", "::ffff:0:127.0.0.1", "fd00::2", "fd00::1",
        "fd00::100", "fd00::ffff:1", "fd00::"}) {
    INFO(address);
    CHECK(judge(tcp_, address, 80) == Reach::refuse_loopback);
    CHECK(judge(udp_, address, 80) == Reach::refuse_loopback);
  }
}

TEST_CASE("allowed, the host's loopback is the gateway addresses and nothing else") {
  const ReachRules rules{.allow_host_loopback = true};
  CHECK(judge(tcp_, "10.0.2.2", 80, rules) == Reach::host_loopback);
  CHECK(judge(udp_, "fd00::2", 80, rules) == Reach::host_loopback);
  for (const char* address :
       {"255.255.255.255", "10.0.2.255", "0.0.0.0", "127.0.0.1", "::1", "::", "::ffff:127.0.0.1", "fd00::7"}) {
    INFO(address);
    CHECK(judge(tcp_, address, 80, rules) == Reach::refuse_loopback);
  }
}

TEST_CASE("the virtual network has no other hosts") {
  for (const char* address :
       {"10.0.2.0", "10.0.2.1", "10.0.2.4", "10.0.2.15", "10.0.2.100", "10.0.2.254", "240.0.0.1", "fe80::2", "fe80::3"})
    CHECK(judge(tcp_, address, 80) == Reach::refuse_virtual);
  CHECK(judge(tcp_, "10.0.3.1", 80) == Reach::outside);
  CHECK(judge(tcp_, "fd00:0:0:1::1", 80) == Reach::outside);
  CHECK(judge(icmp_, "192.0.2.1", 0) == Reach::outside);
}

TEST_CASE("the DNS address serves port 53 alone") {
  for (const char* address : {"10.0.2.3", "fd00::3"}) {
    CHECK(judge(udp_, address, 53) == Reach::dns);
    CHECK(judge(tcp_, address, 53) == Reach::dns);
    CHECK(judge(tcp_, address, 22) == Reach::refuse_virtual);
    CHECK(judge(udp_, address, 5353) == Reach::refuse_virtual);
  }
  CHECK(judge(icmp_, "10.0.2.3", 0) == Reach::gateway_service);
  const ReachRules off{.dns = false};
  CHECK(judge(udp_, "10.0.2.3", 53, off) == Reach::outside);
  CHECK(judge(udp_, "fd00::3", 53, off) == Reach::refuse_virtual);
}

TEST_CASE("the gateway serves DHCP, echoes and discovery") {
  CHECK(judge(udp_, "255.255.255.255", 67) == Reach::gateway_service);
  CHECK(judge(udp_, "10.0.2.2", 67) == Reach::gateway_service);
  CHECK(judge(udp_, "ff02::1:2", 547) == Reach::gateway_service);
  CHECK(judge(tcp_, "255.255.255.255", 67) == Reach::refuse_loopback);
  CHECK(judge(icmp_, "10.0.2.2", 0) == Reach::gateway_service);
  for (const char* address : {"fd00::2", "fd00::3", "fe80::2", "ff02::1", "ff02::2", "ff02::1:ff00:2"})
    CHECK(judge(icmpv6_, address, 0) == Reach::gateway_service);
}

TEST_CASE("link-local addresses are denied unless allowed") {
  for (const char* address : {"169.254.169.254", "fe80::1", "febf::1"}) {
    CHECK(judge(tcp_, address, 80) == Reach::refuse_link_local);
    CHECK(judge(tcp_, address, 80, {.allow_link_local = true}) == Reach::outside);
  }
}

TEST_CASE("groups that nobody serves are ignored") {
  for (const char* address : {"224.0.0.251", "239.255.255.250", "ff02::fb", "ff05::2", "ff02::1", "ff02::1:2"})
    CHECK(judge(udp_, address, 5353) == Reach::ignore);
  CHECK(judge(icmp_, "255.255.255.255", 0) == Reach::ignore);
  CHECK(judge(icmp_, "10.0.2.255", 0) == Reach::ignore);
  CHECK(judge(icmpv6_, "ff02::16", 0) == Reach::ignore);
}

TEST_CASE("an echo to a group of the link stays here") {
  const Reachability reachability(plan(), {});
  const auto of = [&](std::string_view to, std::uint8_t type) {
    Frame frame = icmp(addr("fe80::64"), addr(to), type, 0, Frame(20));
    return reachability.judge(parse_packet(frame).packet);
  };
  CHECK(of("ff02::1", icmpv6_type::echo_request) == Reach::ignore);
  CHECK(of("ff02::2", icmpv6_type::router_solicitation) == Reach::gateway_service);
  CHECK(of("ff02::1:ff00:2", icmpv6_type::neighbour_solicitation) == Reach::gateway_service);
  CHECK(of("fd00::2", icmpv6_type::echo_request) == Reach::gateway_service);
  CHECK(of("2001:db8::1", icmpv6_type::echo_request) == Reach::outside);
  CHECK(of("2001:db8::1", icmpv6_type::neighbour_solicitation) == Reach::ignore);
}

TEST_CASE("refusals are the reaches that are answered") {
  for (const Reach reach : {Reach::refuse_loopback, Reach::refuse_link_local, Reach::refuse_virtual})
    CHECK(Reachability::refused(reach));
  for (const Reach reach : {Reach::outside, Reach::gateway_service, Reach::host_loopback, Reach::dns, Reach::ignore})
    CHECK(!Reachability::refused(reach));
}
