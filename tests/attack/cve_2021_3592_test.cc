// SPDX-License-Identifier: BSD-3-Clause
// CVE-2021-3592: libslirp's bootp_input() reads a whole BOOTP structure from a datagram that is
// shorter, and answers with what lay behind it. Expected: nothing shorter than the fixed part
// passes to port 67.
#include "tests/guard/bench_guard.h"
#include "tests/support/catch.h"

using namespace nh;
using namespace nh::test;

TEST_CASE("CVE-2021-3592: BOOTP shorter than its structure") {
  BenchGuard bench;
  const Frame message = dhcp_message(Frame{53, 1, 1, 255});
  for (const char* server : {"255.255.255.255", "10.0.2.2"}) {
    for (std::size_t size = 0; size < 240; ++size) {
      const Frame cut(message.begin(), message.begin() + static_cast<std::ptrdiff_t>(size));
      CHECK(bench.drops(udp(at("0.0.0.0", 68), at(server, 67), cut), DropReason::dhcp_malformed));
    }
    CHECK(bench.passes(udp(at("0.0.0.0", 68), at(server, 67), message)));
  }
}

TEST_CASE("CVE-2021-3592: what is no request, and hardware addresses that do not fit") {
  BenchGuard bench;
  Frame message = dhcp_message(Frame{255});
  SECTION("a reply") {
    message[0] = 2;
  }
  SECTION("an address of 17 bytes") {
    message[2] = 17;
  }
  SECTION("an address of 255 bytes") {
    message[2] = 255;
  }
  CHECK(bench.drops(udp(at("0.0.0.0", 68), at("255.255.255.255", 67), message), DropReason::dhcp_malformed));
}
