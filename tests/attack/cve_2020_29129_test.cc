// SPDX-License-Identifier: BSD-3-Clause
// CVE-2020-29129, CVE-2020-29130: truncated NC-SI (ether type 0x88f8) and ARP frames are read
// beyond their end. Expected: NC-SI has no business here, and ARP passes only whole.
#include "tests/guard/bench_guard.h"
#include "tests/support/catch.h"

using namespace nh;
using namespace nh::test;

TEST_CASE("CVE-2020-29129: NC-SI frames of any length") {
  BenchGuard bench;
  for (std::size_t size = 0; size <= 60; ++size) CHECK(bench.drops(ethernet(0x88f8, Frame(size)), DropReason::ether_type));
}

TEST_CASE("CVE-2020-29130: truncated ARP") {
  BenchGuard bench;
  const Frame whole = arp(1, addr("10.0.2.100"), addr("10.0.2.2"));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Frame cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    CHECK(bench.drops(cut, size < ethernet_header ? DropReason::frame_short : DropReason::arp_malformed));
  }
  CHECK(bench.passes(whole));
}

TEST_CASE("ARP about anything but Ethernet and IPv4") {
  BenchGuard bench;
  const Frame whole = arp(1, addr("10.0.2.100"), addr("10.0.2.2"));
  for (const std::size_t at_byte : {14u, 15u, 16u, 17u, 18u, 19u, 20u}) {
    Frame frame = whole;
    frame[at_byte] ^= 0x10;
    CHECK(bench.drops(frame, DropReason::arp_malformed));
  }
  for (const int operation : {0, 3, 4, 8, 255})
    CHECK(bench.drops(arp(static_cast<std::uint16_t>(operation), addr("10.0.2.100"), addr("10.0.2.2")),
                      DropReason::arp_malformed));
}

TEST_CASE("other ether types") {
  BenchGuard bench;
  for (const int type : {0, 60, 0x8100, 0x88a8, 0x8863, 0x8864, 0x8847, 0x0842, 0xffff})
    CHECK(bench.drops(ethernet(static_cast<std::uint16_t>(type), Frame(60)), DropReason::ether_type));
}
