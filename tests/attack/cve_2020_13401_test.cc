// SPDX-License-Identifier: BSD-3-Clause
// CVE-2020-13401, CVE-2020-10749: the guest sends router advertisements, redirects, or claims the
// gateway's address by ARP and NDP, to lead others' traffic to itself. Expected: none of it passes.
#include "tests/guard/bench_guard.h"
#include "tests/support/catch.h"

using namespace nh;
using namespace nh::test;

TEST_CASE("CVE-2020-13401: router advertisements and redirects") {
  BenchGuard bench;
  for (const int type : {134, 137})
    for (const char* to : {"ff02::1", "fd00::2", "fe80::2"})
      CHECK(bench.drops(icmp(addr("fe80::64"), addr(to), static_cast<std::uint8_t>(type), 0, Frame(36)),
                        DropReason::icmp_type));
  CHECK(bench.drops(icmp(addr("10.0.2.100"), addr("10.0.2.2"), 5, 1, Frame(32)), DropReason::icmp_type));
}

TEST_CASE("CVE-2020-10749: ARP that claims an address of ours") {
  BenchGuard bench;
  for (const char* ours : {"10.0.2.2", "10.0.2.3"})
    for (const std::uint16_t operation : std::initializer_list<std::uint16_t>{1, 2}) {
      CHECK(bench.drops(arp(operation, addr(ours), addr(ours)), DropReason::arp_spoofed));
      CHECK(bench.drops(arp(operation, addr(ours), addr("10.0.2.100")), DropReason::arp_spoofed));
      CHECK(bench.drops(arp(operation, addr(ours), addr("10.0.2.2")), DropReason::arp_spoofed));
    }
  for (const char* foreign : {"127.0.0.1", "255.255.255.255", "10.0.2.255", "192.0.2.1", "224.0.0.1"})
    CHECK(bench.drops(arp(2, addr(foreign), addr("10.0.2.2")), DropReason::arp_spoofed));
  CHECK(bench.drops(arp(1, addr("10.0.2.100"), addr("10.0.2.7")), DropReason::arp_spoofed));
}

TEST_CASE("neighbour advertisements that claim an address of ours") {
  BenchGuard bench;
  for (const char* ours : {"fd00::2", "fd00::3", "fe80::2", "fe80::3"}) {
    Frame rest{0x20, 0, 0, 0};
    const Address target = addr(ours);
    rest.insert(rest.end(), target.bytes().begin(), target.bytes().end());
    CHECK(bench.drops(icmp(addr("fe80::64"), addr("ff02::1"), icmpv6_type::neighbour_advertisement, 0, rest),
                      DropReason::ndp_spoofed));
    CHECK(bench.drops(icmp(target, addr("ff02::1"), icmpv6_type::neighbour_advertisement, 0, rest), DropReason::ip_source));
  }
}

TEST_CASE("frames from our own link addresses, or from a group's") {
  BenchGuard bench;
  const MacAddress ours = AddressPlan::gateway_mac(addr("10.0.2.2")), group{{1, 0, 0x5e, 0, 0, 1}};
  CHECK(bench.drops(arp(1, addr("10.0.2.100"), addr("10.0.2.2"), ours), DropReason::mac_source));
  CHECK(
      bench.drops(ethernet(ether_type::ipv4, Frame(40), AddressPlan::gateway_mac(addr("fd00::2"))), DropReason::mac_source));
  CHECK(bench.drops(ethernet(ether_type::ipv4, Frame(40), group), DropReason::mac_source));
  Frame frame = arp(1, addr("10.0.2.100"), addr("10.0.2.2"));
  frame[22] |= 1;  // the group bit of ARP's own sender field
  CHECK(bench.drops(frame, DropReason::arp_malformed));
}
