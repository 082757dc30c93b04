// SPDX-License-Identifier: BSD-3-Clause
// The ICMP reflection of 2026: fragments whose headers have different lengths, or a packet with 40
// bytes of options and a TTL of 1, make libslirp answer with an ICMP error whose sizes it computes
// wrongly. Expected: no header other than the plain one of 20 bytes passes, in a fragment or not.
#include "tests/guard/bench_guard.h"
#include "tests/support/catch.h"

using namespace nh;
using namespace nh::test;

namespace {

const Endpoint sender = at("10.0.2.100", 4000), far = at("192.0.2.1", 7);

// The frame with `options` bytes of IPv4 options (no-operations) put in, and lengths and checksums
// that fit.
Frame with_options(Frame frame, std::size_t options) {
  frame.insert(frame.begin() + ethernet_header + ipv4_header, options, 1);
  frame[14] = static_cast<std::uint8_t>(0x40 | ((ipv4_header + options) / 4));
  const std::size_t total = frame.size() - ethernet_header;
  frame[16] = static_cast<std::uint8_t>(total >> 8);
  frame[17] = static_cast<std::uint8_t>(total);
  frame[24] = frame[25] = 0;
  std::uint32_t sum = 0;
  for (std::size_t i = 14; i < 34 + options; i += 2) sum += static_cast<std::uint32_t>(frame[i] << 8 | frame[i + 1]);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = ~((sum & 0xffff) + (sum >> 16));
  frame[24] = static_cast<std::uint8_t>(sum >> 8);
  frame[25] = static_cast<std::uint8_t>(sum);
  return frame;
}

}  // namespace

TEST_CASE("IP options never pass") {
  BenchGuard bench;
  for (std::size_t options = 4; options <= 40; options += 4) {
    CHECK(bench.drops(with_options(udp(sender, far, text("x")), options), DropReason::ip_header));
    CHECK(bench.drops(with_options(icmp(sender.address, far.address, 8, 0, Frame(8)), options), DropReason::ip_header));
    CHECK(bench.drops(with_options(tcp(sender, far), options), DropReason::ip_header));
  }
}

TEST_CASE("a fragment with options does not join one without") {
  BenchGuard bench;
  const std::vector<Frame> pieces = fragments(udp(sender, far, Frame(1000)), 504);
  CHECK(bench.take(pieces[0]).action == GuardAction::hold);
  CHECK(bench.drops(with_options(pieces[1], 40), DropReason::ip_header));
  CHECK(bench.take(pieces[1]).action == GuardAction::pass);
}

TEST_CASE("header lengths below 20 bytes do not pass") {
  BenchGuard bench;
  for (int words = 0; words < 5; ++words) {
    Frame frame = udp(sender, far, text("x"));
    frame[14] = static_cast<std::uint8_t>(0x40 | words);
    CHECK(bench.drops(frame, DropReason::ip_header));
  }
}
