// SPDX-License-Identifier: BSD-3-Clause
// CVE-2026-9539, CVE-2022-39423: an urgent pointer that reaches beyond the data makes libslirp's
// sosendoob() subtract past zero and read the heap behind its buffer. Expected: no segment that
// leaves the guard is urgent, and its data is all there.
#include "tests/guard/bench_guard.h"
#include "tests/support/catch.h"

using namespace nh;
using namespace nh::test;

namespace {

const Endpoint client = at("10.0.2.100", 4000), service = at("10.0.2.2", 80);

void urgent_becomes_ordinary(const TcpFields& fields, const Frame& data) {
  BenchGuard bench;
  const GuardVerdict verdict = bench.take(tcp(client, service, fields, data));
  REQUIRE(verdict.action == GuardAction::pass);
  CHECK((verdict.packet.tcp_flags & tcp_flag::urg) == 0);
  TcpFields calm = fields;
  calm.flags &= static_cast<std::uint8_t>(~unsigned{tcp_flag::urg});
  calm.urgent = 0;
  CHECK(bench.frame == tcp(client, service, calm, data));  // the checksum included
  CHECK(bench.guard.urg_cleared() == 1);
}

}  // namespace

TEST_CASE("CVE-2026-9539: the urgent pointer never reaches libslirp") {
  for (const std::uint16_t pointer : std::initializer_list<std::uint16_t>{0, 1, 4, 5, 1000, 0x7fff, 0x8000, 0xffff})
    for (const std::size_t size : {0u, 1u, 4u, 1400u})
      urgent_becomes_ordinary({.sequence = 0xfffffff0, .flags = tcp_flag::ack | tcp_flag::urg, .urgent = pointer},
                              Frame(size, 'x'));
}

TEST_CASE("CVE-2026-9539: a pointer without the flag is taken away too") {
  urgent_becomes_ordinary({.flags = tcp_flag::ack, .urgent = 0xffff}, text("data"));
}

TEST_CASE("CVE-2026-9539: urgent data on a SYN or FIN") {
  urgent_becomes_ordinary({.flags = tcp_flag::syn | tcp_flag::urg, .urgent = 9}, text("data"));
  urgent_becomes_ordinary({.flags = tcp_flag::fin | tcp_flag::ack | tcp_flag::urg, .urgent = 9}, text("data"));
}
