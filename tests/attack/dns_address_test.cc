// SPDX-License-Identifier: BSD-3-Clause
// The DNS address as a way to the host's resolver: libslirp before 4.3 passed every port on to it,
// and so to whatever the resolver's machine serves. Expected: port 53, and nothing else.
#include "netstack/plan/reachability.h"
#include "tests/support/catch.h"
#include "tests/support/frames.h"

using namespace nh;
using namespace nh::test;

TEST_CASE("the DNS address leads to port 53 alone, in the frame's own words") {
  const Reachability reachability(plan(), {.allow_host_loopback = true});
  for (const char* dns : {"10.0.2.3", "fd00::3"}) {
    const Address to = addr(dns);
    const Address from = to.is_v4() ? addr("10.0.2.100") : addr("fd00::100");
    for (const std::uint16_t port : std::initializer_list<std::uint16_t>{1, 22, 52, 54, 80, 443, 853, 5353, 65535}) {
      Frame by_tcp = tcp({from, 4000}, {to, port}), by_udp = udp({from, 4000}, {to, port});
      CHECK(reachability.judge(parse_packet(by_tcp).packet) == Reach::refuse_virtual);
      CHECK(reachability.judge(parse_packet(by_udp).packet) == Reach::refuse_virtual);
    }
    Frame query = udp({from, 4000}, {to, 53});
    CHECK(reachability.judge(parse_packet(query).packet) == Reach::dns);
  }
}
