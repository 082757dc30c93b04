// SPDX-License-Identifier: BSD-3-Clause
// CVE-2014-3640: a datagram from port 0 makes libslirp follow a null pointer. Expected: port 0
// passes nowhere, at neither end of neither protocol.
#include "tests/guard/bench_guard.h"
#include "tests/support/catch.h"

using namespace nh;
using namespace nh::test;

TEST_CASE("CVE-2014-3640: port 0") {
  BenchGuard bench;
  const bool v4 = GENERATE(true, false);
  const char* guest = v4 ? "10.0.2.100" : "fd00::100";
  const char* gateway = v4 ? "10.0.2.2" : "fd00::2";
  CHECK(bench.drops(udp(at(guest, 0), at(gateway, 7)), DropReason::port_zero));
  CHECK(bench.drops(udp(at(guest, 7), at(gateway, 0)), DropReason::port_zero));
  CHECK(bench.drops(tcp(at(guest, 0), at(gateway, 7)), DropReason::port_zero));
  CHECK(bench.drops(tcp(at(guest, 7), at(gateway, 0)), DropReason::port_zero));
}

TEST_CASE("flags that no connection has") {
  BenchGuard bench;
  using namespace tcp_flag;
  for (const int flags : {0, syn | fin, syn | rst, syn | fin | rst | ack, int{ece}, ece | cwr, 0xff, 0x3f, 0x07})
    CHECK(bench.drops(tcp(at("10.0.2.100", 1), at("192.0.2.1", 2), {.flags = static_cast<std::uint8_t>(flags)}),
                      DropReason::tcp_flags));
}

TEST_CASE("options of a SYN that run off the header") {
  BenchGuard bench;
  for (const Frame& options : std::vector<Frame>{{2, 5, 5, 180}, {1, 1, 1, 2}, {3, 0, 1, 1}, {3, 1, 1, 1}, {8, 10, 0, 0}})
    CHECK(bench.drops(tcp(at("10.0.2.100", 1), at("192.0.2.1", 2), {.options = options}), DropReason::tcp_header));
}
