// SPDX-License-Identifier: BSD-3-Clause
// CVE-2021-3593, CVE-2021-3594: libslirp believes a UDP length that the datagram does not have,
// below the header or beyond the frame, and sends on what lies behind. Expected: only a length that
// is exactly the datagram's passes.
#include "tests/guard/bench_guard.h"
#include "tests/support/catch.h"

using namespace nh;
using namespace nh::test;

TEST_CASE("CVE-2021-3593: UDP lengths that are not the datagram's") {
  BenchGuard bench;
  const bool v4 = GENERATE(true, false);
  const Frame good = v4 ? udp(at("10.0.2.100", 4000), at("192.0.2.1", 7), Frame(20))
                        : udp(at("fd00::100", 4000), at("2001:db8::1", 7), Frame(20));
  const std::size_t field = ethernet_header + (v4 ? ipv4_header : ipv6_header) + 4;
  for (std::size_t length = 0; length < 66000; length += length < 64 ? 1 : 997) {
    Frame frame = good;
    frame[field] = static_cast<std::uint8_t>(length >> 8);
    frame[field + 1] = static_cast<std::uint8_t>(length);
    fix_checksums(frame);
    if ((length & 0xffff) == 28) {
      CHECK(bench.passes(frame));
    } else {
      CHECK(bench.drops(frame, DropReason::udp_length));
    }
  }
}

TEST_CASE("CVE-2021-3594: a packet too short for a UDP header") {
  BenchGuard bench;
  for (std::size_t size = 0; size < 8; ++size) {
    CHECK(bench.drops(ip(addr("10.0.2.100"), addr("192.0.2.1"), protocol::udp, Frame(size)), DropReason::udp_length));
    CHECK(bench.drops(ip(addr("fd00::100"), addr("2001:db8::1"), protocol::udp, Frame(size)), DropReason::udp_length));
  }
}
