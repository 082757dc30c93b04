// SPDX-License-Identifier: BSD-3-Clause
// What passes, and what the guard changes. What attacks look like, and that they are dropped, is in
// tests/attack.
#include "netstack/guard/frame_guard.h"

#include <algorithm>

#include "tests/guard/bench_guard.h"
#include "tests/support/catch.h"

using namespace nh;
using namespace nh::test;

namespace {

const Endpoint guest4 = at("10.0.2.100", 4000), far4 = at("192.0.2.1", 80);
const Endpoint guest6 = at("fd00::100", 4000), far6 = at("2001:db8::1", 80);
constexpr std::uint8_t ack = tcp_flag::ack;

Frame quote(const Endpoint& from, const Endpoint& to) {
  const Frame frame = udp(from, to, text("question"));
  Frame rest(frame.begin() + ethernet_header - 4, frame.end());
  std::fill_n(rest.begin(), 4, std::uint8_t{0});
  return rest;
}

}  // namespace

TEST_CASE("what a guest usually sends passes unchanged") {
  BenchGuard bench;
  const std::vector<Frame> usual{
      arp(1, guest4.address, addr("10.0.2.2")),
      arp(1, guest4.address, addr("10.0.2.3")),
      arp(1, guest4.address, guest4.address),
      arp(1, addr("0.0.0.0"), addr("10.0.2.2")),
      arp(2, guest4.address, addr("10.0.2.2")),
      tcp(guest4, far4),
      tcp(guest4, far4, {.flags = tcp_flag::syn | tcp_flag::ece | tcp_flag::cwr}),
      tcp(guest4, far4, {.options = {2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7}}, text("data on a SYN")),
      tcp(guest4, far4, {.flags = tcp_flag::syn | ack}),
      tcp(guest6, far6, {.flags = ack}, text("data")),
      tcp(guest6, far6, {.flags = tcp_flag::fin | ack}),
      tcp(guest6, far6, {.flags = tcp_flag::rst}),
      udp(guest4, far4),
      udp(guest6, far6, text("odd")),
      icmp(guest4.address, far4.address, icmp_type::echo_request, 0, text("1234ping")),
      icmp(guest6.address, addr("fd00::2"), icmpv6_type::echo_request, 0, text("1234ping")),
      icmp(addr("fe80::64"), addr("ff02::2"), icmpv6_type::router_solicitation, 0, Frame(4)),
  };
  for (const Frame& frame : usual) {
    INFO(&frame - usual.data());
    CHECK(bench.passes(frame));
    CHECK(bench.frame == frame);
  }
  for (std::size_t i = 0; i < drop_reasons; ++i) CHECK(bench.of(static_cast<DropReason>(i)) == 0);
}

TEST_CASE("ECN bits pass") {
  BenchGuard bench;
  Frame v4 = tcp(guest4, far4, {.flags = ack});
  v4[15] = 3;
  fix_checksums(v4);
  CHECK(bench.passes(v4));
  Frame v6 = udp(guest6, far6);
  v6[15] = 0x30;
  CHECK(bench.passes(v6));
}

TEST_CASE("UDP over IPv4 may have no checksum, over IPv6 it must") {
  BenchGuard bench;
  Frame v4 = udp(guest4, far4, text("hello")), v6 = udp(guest6, far6, text("hello"));
  v4[40] = v4[41] = 0;
  v6[60] = v6[61] = 0;
  CHECK(bench.passes(v4));
  CHECK(bench.drops(v6, DropReason::udp_checksum));
}

TEST_CASE("wrong checksums are dropped where nobody behind the guard looks again") {
  BenchGuard bench;
  const auto spoilt = [](Frame frame) {
    frame.back() ^= 0x40;
    return frame;
  };
  CHECK(bench.drops(spoilt(udp(guest4, far4, text("x"))), DropReason::udp_checksum));
  CHECK(bench.drops(spoilt(udp(guest6, far6, text("x"))), DropReason::udp_checksum));
  CHECK(bench.drops(spoilt(tcp(guest4, far4, {}, text("x"))), DropReason::tcp_checksum));
  CHECK(bench.drops(spoilt(icmp(guest4.address, far4.address, 8, 0, Frame(8))), DropReason::icmp_checksum));
  CHECK(bench.drops(spoilt(icmp(guest6.address, far6.address, 128, 0, Frame(8))), DropReason::icmp_checksum));
  Frame header = udp(guest4, far4);
  ++header[24];
  CHECK(bench.drops(header, DropReason::ip_header));
}

TEST_CASE("partial checksums are left alone") {
  BenchGuard bench({.plan = plan(), .checksums_complete = false});
  Frame frame = tcp(guest4, far4, {.flags = ack | tcp_flag::urg, .urgent = 5}, text("data"));
  frame[50] = 0x12;
  frame[51] = 0x34;
  CHECK(bench.passes(frame));
  CHECK(bench.frame[50] == 0x12);
  CHECK(bench.frame[51] == 0x34);
  CHECK((bench.frame[47] & tcp_flag::urg) == 0);
}

TEST_CASE("frames are as long as the MTU allows and no longer") {
  BenchGuard bench;
  CHECK(bench.passes(udp(guest4, far4, Frame(1472))));
  CHECK(bench.drops(udp(guest4, far4, Frame(1473)), DropReason::frame_long));
  BenchGuard offload({.plan = plan(), .max_ip_size = 65535});
  CHECK(offload.passes(tcp(guest4, far4, {.flags = ack}, Frame(65000))));
}

TEST_CASE("without IPv6 nothing of it passes") {
  BenchGuard bench({.plan = plan(), .ipv6 = false});
  CHECK(bench.drops(udp(guest6, far6), DropReason::ipv6_off));
  CHECK(bench.passes(udp(guest4, far4)));
}

TEST_CASE("ICMP errors pass with what they quote") {
  BenchGuard bench;
  const Endpoint client4 = at("192.0.2.9", 5555), client6 = at("2001:db8::9", 5555);
  GuardVerdict verdict = bench.take(icmp(guest4.address, client4.address, 3, 3, quote(client4, guest4)));
  REQUIRE(verdict.action == GuardAction::pass);
  CHECK(verdict.packet.icmp_error);
  CHECK(verdict.packet.quoted_from == client4);
  CHECK(verdict.packet.quoted_to == guest4);
  verdict = bench.take(icmp(guest6.address, client6.address, 1, 4, quote(client6, guest6)));
  REQUIRE(verdict.action == GuardAction::pass);
  CHECK(verdict.packet.quoted_from == client6);
  CHECK(bench.drops(icmp(guest4.address, client4.address, 3, 3, Frame(20)), DropReason::icmp_malformed));
  bench.guard.count(DropReason::icmp_error_unmatched);
  CHECK(bench.of(DropReason::icmp_error_unmatched) == 1);
}

TEST_CASE("ICMP that has no meaning here is dropped") {
  BenchGuard bench;
  for (const int type : {0, 4, 5, 9, 10, 13, 15, 17, 42})
    CHECK(bench.drops(icmp(guest4.address, far4.address, static_cast<std::uint8_t>(type), 0, Frame(8)),
                      DropReason::icmp_type));
  for (const int type : {0, 129, 130, 131, 132, 134, 137, 138, 143, 160})
    CHECK(bench.drops(icmp(addr("fe80::64"), addr("ff02::1"), static_cast<std::uint8_t>(type), 0, Frame(20)),
                      DropReason::icmp_type));
}

TEST_CASE("other protocols and time to live 0 are dropped") {
  BenchGuard bench;
  for (const int protocol : {0, 2, 4, 41, 47, 50, 58, 132, 255})
    CHECK(bench.drops(ip(guest4.address, far4.address, static_cast<std::uint8_t>(protocol), Frame(40)),
                      DropReason::ip_protocol));
  for (const int protocol : {1, 2, 4, 41, 59, 132})
    CHECK(bench.drops(ip(guest6.address, far6.address, static_cast<std::uint8_t>(protocol), Frame(40)),
                      DropReason::ip_protocol));
  Frame v4 = udp(guest4, far4), v6 = udp(guest6, far6);
  v4[22] = 0;
  fix_checksums(v4);
  v6[21] = 0;
  CHECK(bench.drops(v4, DropReason::ip_ttl));
  CHECK(bench.drops(v6, DropReason::ip_ttl));
}
