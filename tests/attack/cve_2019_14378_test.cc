// SPDX-License-Identifier: BSD-3-Clause
// CVE-2020-1983, CVE-2019-15890, CVE-2019-14378, CVE-2018-11806 and 26be815 of libslirp 4.8:
// fragments with overlaps, with the last one first, with offsets beyond a packet, with an
// identification used again, break libslirp's ip_reass(). Expected: libslirp never sees a fragment,
// whatever the guest sends.
#include "tests/guard/bench_guard.h"
#include "tests/support/catch.h"

using namespace nh;
using namespace nh::test;

namespace {

const Endpoint guest = at("10.0.2.100", 4000), gateway = at("10.0.2.2", 7);

Frame datagram(std::size_t size) {
  return udp(guest, gateway, Frame(size, 'x'));
}

}  // namespace

TEST_CASE("CVE-2019-14378: a first fragment larger than the datagram it begins") {
  BenchGuard bench;
  CHECK(bench.take(piece_of(datagram(1400), 1000, 100, false)).action == GuardAction::hold);
  CHECK(bench.drops(piece_of(datagram(1400), 0, 1400, true), DropReason::fragment_overlap));
}

TEST_CASE("CVE-2020-1983: a fragment of nothing") {
  BenchGuard bench;
  CHECK(bench.take(piece_of(datagram(100), 0, 8, true)).action == GuardAction::hold);
  CHECK(bench.drops(piece_of(datagram(100), 8, 0, true), DropReason::fragment_malformed));
  CHECK(bench.drops(piece_of(datagram(100), 8, 0, false), DropReason::fragment_malformed));
}

TEST_CASE("CVE-2018-11806: a datagram of more than 64 KiB") {
  BenchGuard bench;
  Frame last = piece_of(datagram(1400), 0, 1400, false);
  last[20] = 0x1f;  // offset 65528
  last[21] = 0xff;
  fix_checksums(last);
  CHECK(bench.drops(last, DropReason::fragment_malformed));
}

TEST_CASE("CVE-2019-15890: an identification used again while its datagram is incomplete") {
  BenchGuard bench;
  CHECK(bench.take(piece_of(datagram(1000), 0, 504, true)).action == GuardAction::hold);
  CHECK(bench.drops(piece_of(datagram(1000), 0, 504, true), DropReason::fragment_overlap));
  for (const Frame& piece : fragments(datagram(1000), 504)) CHECK(bench.drops(piece, DropReason::fragment_overlap));
}

TEST_CASE("TCP in fragments is dropped") {
  BenchGuard bench;
  const bool v4 = GENERATE(true, false);
  const Frame segment = v4 ? tcp(guest, gateway, {}, Frame(100)) : tcp(at("fd00::100", 1), at("fd00::2", 2), {}, Frame(100));
  for (const Frame& piece : fragments(segment, 8)) CHECK(bench.drops(piece, DropReason::fragment_tcp));
}

TEST_CASE("a storm of fragments leaves nothing behind and passes none") {
  BenchGuard bench;
  const Frame whole = datagram(1400);
  for (std::uint32_t id = 1000; id < 1100; ++id) bench.take(piece_of(whole, 0, 8, true, id));
  for (std::uint32_t i = 0; i < 20000; ++i) {
    const std::size_t offset = i / 2 * 7919 % 170 * 8;
    const GuardVerdict verdict = bench.take(piece_of(whole, offset, 8 + i % 3 * 8, i % 5 != 0, i / 4 % 300));
    CHECK((verdict.action == GuardAction::drop || verdict.action == GuardAction::hold));
  }
  CHECK(bench.of(DropReason::fragment_overlap) > 0);
  CHECK(bench.of(DropReason::fragment_limit) > 0);
}
