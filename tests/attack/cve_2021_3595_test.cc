// SPDX-License-Identifier: BSD-3-Clause
// CVE-2021-3595, CVE-2020-7211 and c29ec30 of libslirp 4.8: TFTP requests that are malformed, that
// climb out of the directory, or that end a session twice. Expected: the gateway has no TFTP, under
// any of its names.
#include "tests/guard/bench_guard.h"
#include "tests/support/catch.h"

using namespace nh;
using namespace nh::test;
using namespace std::string_view_literals;

TEST_CASE("CVE-2021-3595: no TFTP request reaches the gateway") {
  BenchGuard bench;
  const std::vector<Frame> requests{
      {},           {0, 1},         text("\0\1../../etc/passwd\0octet\0"sv), text("\0\1..\\..\\boot.ini\0octet\0"sv),
      {0, 5, 0, 0}, Frame(512, 'x')};
  for (const Frame& request : requests) {
    for (const char* server : {"10.0.2.2", "10.0.2.3", "255.255.255.255", "224.0.0.1"})
      CHECK(bench.drops(udp(at("10.0.2.100", 4000), at(server, 69), request), DropReason::tftp));
    for (const char* server : {"fd00::2", "fd00::3", "fe80::2", "fe80::3", "ff02::1"})
      CHECK(bench.drops(udp(at("fd00::100", 4000), at(server, 69), request), DropReason::tftp));
  }
}

TEST_CASE("TFTP to the outside is a datagram like any other") {
  BenchGuard bench;
  CHECK(bench.passes(udp(at("10.0.2.100", 4000), at("192.0.2.1", 69), text("x"))));
}
