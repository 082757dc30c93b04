// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/bridge/udp_flow_limit.h"

#include "tests/support/catch.h"

using namespace nh;

TEST_CASE("at the limit known flows go on and new ones do not begin", "[udp]") {
  UdpFlowLimit limit(2);
  const ManualClock start;
  ManualClock clock;
  const auto from = [](std::uint16_t port) { return Endpoint{Address::v4(0x0a000264), port}; };
  CHECK(limit.admit(from(1), 0, clock.now()));
  CHECK(limit.admit(from(2), 1, clock.now()));
  CHECK_FALSE(limit.admit(from(3), 2, clock.now()));
  CHECK(limit.admit(from(1), 2, clock.now()));
  clock.advance(std::chrono::seconds(241));
  CHECK_FALSE(limit.admit(from(1), 2, clock.now()));  // its socket has expired: it would open a new one
  CHECK(limit.admit(from(1), 1, clock.now()));
}

TEST_CASE("the table of flows is bounded", "[udp]") {
  UdpFlowLimit limit(4);
  const ManualClock clock;
  for (std::uint16_t port = 1; port < 1000; ++port)
    CHECK(limit.admit(Endpoint{Address::v4(0x0a000264), port}, 0, clock.now()));
}
