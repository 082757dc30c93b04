// SPDX-License-Identifier: BSD-3-Clause
// CVE-2017-11434: a DHCP option whose length runs off the end of the message is read beyond it.
// Expected: options that do not fit do not pass, neither DHCP's nor DHCPv6's.
#include "tests/guard/bench_guard.h"
#include "tests/support/catch.h"

using namespace nh;
using namespace nh::test;

namespace {

bool passes(BenchGuard& bench, const Frame& options) {
  const Frame frame = udp(at("0.0.0.0", 68), at("255.255.255.255", 67), dhcp_message(options));
  const std::uint64_t before = bench.of(DropReason::dhcp_malformed);
  const bool passed = bench.passes(frame);
  CHECK(bench.of(DropReason::dhcp_malformed) == before + (passed ? 0 : 1));
  return passed;
}

}  // namespace

TEST_CASE("CVE-2017-11434: DHCP options that run off the end") {
  BenchGuard bench;
  CHECK(passes(bench, {53, 1, 1, 255}));
  CHECK(passes(bench, {0, 0, 53, 1, 1, 0, 255, 9, 9, 9}));
  CHECK(passes(bench, {53, 1, 1}));
  CHECK(!passes(bench, {53}));
  CHECK(!passes(bench, {53, 1}));
  CHECK(!passes(bench, {53, 1, 1, 50, 4, 10, 0, 2}));
  CHECK(!passes(bench, {53, 1, 1, 12, 255, 'a'}));
}

TEST_CASE("DHCPv6 options that run off the end") {
  BenchGuard bench;
  const auto send = [](const Frame& message) { return udp(at("fe80::64", 546), at("ff02::1:2", 547), message); };
  CHECK(bench.passes(send({11, 1, 2, 3})));
  CHECK(bench.passes(send({11, 1, 2, 3, 0, 6, 0, 2, 0, 23})));
  for (const Frame& message : std::vector<Frame>{{},
                                                 {11, 1, 2},
                                                 {11, 1, 2, 3, 0},
                                                 {11, 1, 2, 3, 0, 6, 0},
                                                 {11, 1, 2, 3, 0, 6, 0, 3, 0, 23},
                                                 {11, 1, 2, 3, 0, 1, 255, 255}})
    CHECK(bench.drops(send(message), DropReason::dhcp_malformed));
}
