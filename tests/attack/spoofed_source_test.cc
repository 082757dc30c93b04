// SPDX-License-Identifier: BSD-3-Clause
// A guest that speaks with another's source address: the gateway's, the host's, a neighbour's on
// the host's network. To libslirp every source is the guest. Expected: only addresses that the TAP
// has, or the protocols need, pass.
#include "tests/guard/bench_guard.h"
#include "tests/support/catch.h"

using namespace nh;
using namespace nh::test;

TEST_CASE("spoofed sources do not pass") {
  BenchGuard bench;
  for (const char* source : {"10.0.2.2", "10.0.2.3", "127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "fd00::2",
                             "::1", "::ffff:10.0.2.100", "ff02::1"}) {
    INFO(source);
    const Address from = addr(source);
    const Endpoint to = from.is_v4() ? at("192.0.2.1", 80) : at("2001:db8::1", 80);
    CHECK(bench.drops(udp({from, 4000}, to), DropReason::ip_source));
    CHECK(bench.drops(tcp({from, 4000}, to), DropReason::ip_source));
  }
  for (const char* source : {"192.168.1.10", "8.8.8.8", "10.0.2.101", "2001:db8::5"}) {
    const Address from = addr(source);
    const Endpoint to = from.is_v4() ? at("192.0.2.1", 80) : at("2001:db8::1", 80);
    CHECK(bench.take(udp({from, 4000}, to)).action == GuardAction::unknown_source);
  }
}

TEST_CASE("spoofed sources do not occupy the reassembly") {
  BenchGuard bench;
  const Frame whole = udp(at("10.0.2.2", 4000), at("192.0.2.1", 80), Frame(1000));
  for (const Frame& piece : fragments(whole, 504)) CHECK(bench.drops(piece, DropReason::ip_source));
}
