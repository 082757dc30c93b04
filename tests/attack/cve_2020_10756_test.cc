// SPDX-License-Identifier: BSD-3-Clause
// CVE-2020-10756: an ICMPv6 echo request whose payload length says more than the frame holds is
// answered with the heap behind it. Expected: the length must fit, and the echo must be whole.
#include "tests/guard/bench_guard.h"
#include "tests/support/catch.h"

using namespace nh;
using namespace nh::test;

TEST_CASE("CVE-2020-10756: payload lengths beyond the frame") {
  BenchGuard bench;
  for (std::size_t more = 1; more < 2000; more += more < 16 ? 1 : 331) {
    Frame frame = icmp(addr("fd00::100"), addr("fd00::2"), icmpv6_type::echo_request, 0, text("12345678"));
    const std::size_t length = 12 + more;
    frame[18] = static_cast<std::uint8_t>(length >> 8);
    frame[19] = static_cast<std::uint8_t>(length);
    CHECK(bench.drops(frame, DropReason::ip_header));
  }
}

TEST_CASE("CVE-2020-10756: messages shorter than their type needs") {
  BenchGuard bench;
  for (std::size_t size = 0; size < 8; ++size) {
    CHECK(bench.drops(ip(addr("fd00::100"), addr("fd00::2"), protocol::icmpv6, Frame(size, 128), 255),
                      DropReason::icmp_malformed));
    CHECK(bench.drops(ip(addr("10.0.2.100"), addr("10.0.2.2"), protocol::icmp, Frame(size, 8)), DropReason::icmp_malformed));
  }
  for (std::size_t size = 4; size < 20; ++size)
    CHECK(bench.drops(icmp(addr("fd00::100"), addr("fd00::2"), icmpv6_type::neighbour_solicitation, 0, Frame(size)),
                      DropReason::icmp_malformed));
}

TEST_CASE("discovery options of length zero or beyond the message") {
  BenchGuard bench;
  for (const std::uint8_t units : std::initializer_list<std::uint8_t>{0, 2, 255}) {
    Frame rest(4 + 16 + 8);
    rest[20] = 1;
    rest[21] = units;
    CHECK(bench.drops(icmp(addr("fe80::64"), addr("fd00::2"), icmpv6_type::neighbour_solicitation, 0, rest),
                      DropReason::icmp_malformed));
  }
}

TEST_CASE("discovery that came through a router") {
  BenchGuard bench;
  Frame frame = icmp(addr("fe80::64"), addr("ff02::2"), icmpv6_type::router_solicitation, 0, Frame(4));
  frame[21] = 254;
  CHECK(bench.drops(frame, DropReason::icmp_malformed));
}
