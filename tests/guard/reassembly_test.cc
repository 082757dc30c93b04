// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/guard/reassembly.h"

#include <algorithm>

#include "src/base/limits.h"
#include "tests/guard/bench_guard.h"
#include "tests/support/catch.h"

using namespace nh;
using namespace nh::test;

namespace {

Frame payload(std::size_t size) {
  Frame out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
  return out;
}

Frame datagram(bool v4, std::size_t size, std::uint16_t port = 4000) {
  return v4 ? udp(at("10.0.2.100", port), at("192.0.2.1", 80), payload(size))
            : udp(at("fd00::100", port), at("2001:db8::1", 80), payload(size));
}

// What the guard hands over for these fragments, empty unless the last of them made it whole.
Frame result(BenchGuard& bench, const std::vector<Frame>& pieces) {
  GuardVerdict verdict;
  for (const Frame& piece : pieces) {
    REQUIRE(verdict.action != GuardAction::pass);
    verdict = bench.take(piece);
  }
  if (verdict.action != GuardAction::pass) return {};
  return {verdict.packet.frame.begin(), verdict.packet.frame.end()};
}

}  // namespace

TEST_CASE("a fragmented datagram is passed on whole, in whatever order it comes") {
  const bool v4 = GENERATE(true, false);
  const std::size_t size = GENERATE(9u, 1473u, 4000u, 20000u);
  const int order = GENERATE(0, 1, 2);
  BenchGuard bench;
  const Frame whole = datagram(v4, size);
  std::vector<Frame> pieces = fragments(whole, size < 100 ? 8 : 1400);
  if (order == 1) std::reverse(pieces.begin(), pieces.end());
  if (order == 2) std::rotate(pieces.begin(), pieces.begin() + 1, pieces.end());
  Frame got = result(bench, pieces);
  REQUIRE(got.size() == whole.size());
  Frame expected = whole;
  if (v4) {  // the identification is the fragments'
    expected[19] = 7;
    fix_checksums(expected);
  }
  CHECK(got == expected);
  CHECK(bench.guard.reassembled() == 1);
}

TEST_CASE("the largest datagram is put together") {
  const bool v4 = GENERATE(true, false);
  BenchGuard bench({.plan = plan(9000), .max_ip_size = 9000, .ipv6 = true});
  const Frame whole = datagram(v4, limits::datagram);
  CHECK(result(bench, fragments(whole, 8944)).size() == ethernet_header + (v4 ? 20 : 40) + 8 + limits::datagram);
}

TEST_CASE("an overlap condemns the datagram and the rest of it") {
  const bool v4 = GENERATE(true, false);
  BenchGuard bench;
  const Frame whole = datagram(v4, 3000);
  const std::size_t total = 3008;
  const auto piece = [&](std::size_t offset, std::size_t size) {
    return piece_of(whole, offset, size, offset + size < total);
  };
  SECTION("by one unit from below") {
    CHECK(bench.take(piece(1000, 1000)).action == GuardAction::hold);
    CHECK(bench.drops(piece(0, 1008), DropReason::fragment_overlap));
  }
  SECTION("by one unit from above") {
    CHECK(bench.take(piece(0, 1000)).action == GuardAction::hold);
    CHECK(bench.drops(piece(992, 1000), DropReason::fragment_overlap));
  }
  SECTION("by an exact repetition") {
    CHECK(bench.take(piece(0, 1000)).action == GuardAction::hold);
    CHECK(bench.drops(piece(0, 1000), DropReason::fragment_overlap));
  }
  SECTION("within another") {
    CHECK(bench.take(piece(0, 1000)).action == GuardAction::hold);
    CHECK(bench.drops(piece(8, 16), DropReason::fragment_overlap));
  }
  SECTION("around another") {
    CHECK(bench.take(piece(1000, 8)).action == GuardAction::hold);
    CHECK(bench.drops(piece(0, 1400), DropReason::fragment_overlap));
  }
  SECTION("beyond the end") {
    CHECK(bench.take(piece_of(whole, 1000, 100, false)).action == GuardAction::hold);
    CHECK(bench.drops(piece(2000, 1000), DropReason::fragment_overlap));
  }
  SECTION("by an end before a piece that came") {
    CHECK(bench.take(piece(2000, 1000)).action == GuardAction::hold);
    CHECK(bench.drops(piece_of(whole, 1000, 100, false), DropReason::fragment_overlap));
  }
  SECTION("by two ends") {
    CHECK(bench.take(piece_of(whole, 2000, 1008, false)).action == GuardAction::hold);
    CHECK(bench.drops(piece_of(whole, 1000, 100, false), DropReason::fragment_overlap));
  }
  for (const Frame& rest : fragments(whole, 1000)) CHECK(bench.drops(rest, DropReason::fragment_overlap));
  bench.clock.advance(limits::reassembly_time);
  CHECK(!result(bench, fragments(whole, 1000)).empty());
}

TEST_CASE("fragments that cannot be right are dropped alone") {
  BenchGuard bench;
  const Frame whole = datagram(true, 1000);
  CHECK(bench.drops(piece_of(whole, 0, 12, true), DropReason::fragment_malformed));
  CHECK(bench.drops(piece_of(whole, 8, 0, true), DropReason::fragment_malformed));
  Frame far = piece_of(whole, 0, 64, false);
  far[20] = 0x1f;
  far[21] = 0xff;
  fix_checksums(far);
  CHECK(bench.drops(far, DropReason::fragment_malformed));
  CHECK(!result(bench, fragments(whole, 504)).empty());
}

TEST_CASE("two datagrams at once do not mix") {
  BenchGuard bench;
  const std::vector<Frame> a = fragments(datagram(true, 1000, 4000), 504, 1),
                           b = fragments(datagram(true, 1000, 4001), 504, 2);
  CHECK(bench.take(a[0]).action == GuardAction::hold);
  CHECK(bench.take(b[0]).action == GuardAction::hold);
  CHECK(bench.take(b[1]).action == GuardAction::pass);
  CHECK(bench.take(a[1]).action == GuardAction::pass);
}

TEST_CASE("a datagram whose rest does not come is given up") {
  BenchGuard bench;
  const std::vector<Frame> pieces = fragments(datagram(true, 1000), 504);
  CHECK(bench.take(pieces[0]).action == GuardAction::hold);
  bench.clock.advance(limits::reassembly_time - Duration(1));
  bench.guard.expire();
  CHECK(bench.of(DropReason::fragment_timeout) == 0);
  bench.clock.advance(Duration(1));
  bench.guard.expire();
  CHECK(bench.of(DropReason::fragment_timeout) == 1);
  CHECK(bench.take(pieces[1]).action == GuardAction::hold);
}

TEST_CASE("datagrams, bytes and pieces under reassembly are bounded") {
  ManualClock clock;
  DropCounters drops;
  Reassembly reassembly(clock, drops);
  Frame out;
  const auto add = [&](Frame frame) { return reassembly.add(parse_packet(frame).packet, out); };
  SECTION("datagrams") {
    for (std::uint32_t id = 0; id < 1000; ++id) add(piece_of(datagram(true, 100), 0, 8, true, id));
    CHECK(reassembly.datagrams() == limits::reassembly_datagrams);
    CHECK(drops.of(DropReason::fragment_limit) == 1000 - limits::reassembly_datagrams);
    CHECK(add(piece_of(datagram(true, 100), 8, 100, false, 999)) == Reassembly::State::whole);  // the newest is kept
  }
  SECTION("bytes") {
    for (std::uint32_t id = 0; id < 60; ++id) add(piece_of(datagram(true, 60000), 0, 56000, true, id));
    CHECK(reassembly.bytes() <= limits::reassembly_bytes);
    CHECK(reassembly.bytes() > limits::reassembly_bytes / 2);
    CHECK(drops.of(DropReason::fragment_limit) > 0);
  }
  SECTION("pieces") {
    const Frame whole = datagram(true, 8 * limits::reassembly_fragments + 100);
    for (std::size_t i = 0; i < limits::reassembly_fragments; ++i)
      CHECK(add(piece_of(whole, 8 * i, 8, true)) == Reassembly::State::waiting);
    CHECK(add(piece_of(whole, 8 * limits::reassembly_fragments, 8, true)) == Reassembly::State::dropped);
    CHECK(drops.of(DropReason::fragment_limit) == 1);
    CHECK(reassembly.bytes() == 0);
  }
  clock.advance(limits::reassembly_time);
  reassembly.expire();
  CHECK(reassembly.datagrams() == 0);
  CHECK(reassembly.bytes() == 0);
}

TEST_CASE("what was put together is checked as any packet") {
  BenchGuard bench;
  Frame whole = datagram(true, 1000);
  whole.back() ^= 1;  // the fragments' own headers stay right
  std::vector<Frame> pieces = fragments(whole, 504);
  CHECK(bench.take(pieces[0]).action == GuardAction::hold);
  CHECK(bench.drops(pieces[1], DropReason::udp_checksum));
}

TEST_CASE("an atomic IPv6 fragment is a datagram of its own") {
  BenchGuard bench;
  const Frame whole = datagram(false, 100);
  const Frame got = result(bench, {piece_of(whole, 0, 108, false)});
  CHECK(got == whole);
}

TEST_CASE("discovery in fragments is dropped") {
  BenchGuard bench;
  const Frame solicitation = icmp(addr("fe80::64"), addr("ff02::2"), icmpv6_type::router_solicitation, 0, Frame(4));
  CHECK(bench.drops(piece_of(solicitation, 0, 8, false), DropReason::icmp_type));
}
