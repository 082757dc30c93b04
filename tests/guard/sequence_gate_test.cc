// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/guard/sequence_gate.h"

#include <cstring>

#include "tests/support/catch.h"
#include "tests/support/frames.h"

using namespace nh;
using namespace nh::test;

namespace {

struct Side {
  Endpoint guest, far;
  std::uint32_t fatal;
};

Side side(bool v4) {
  if (v4) return {at("10.0.2.100", 4000), at("192.0.2.1", 80), 0};
  // Bytes 4 to 7 of the address as this machine reads them.
  const Address guest = addr("fd00:1:0203:0405::100");
  std::uint32_t fatal = 0;
  std::memcpy(&fatal, guest.bytes().data() + 4, sizeof fatal);
  return {{guest, 4000}, at("2001:db8::1", 80), fatal};
}

Frame segment(const Side& s, std::uint32_t begin, std::size_t size, std::uint8_t flags = tcp_flag::ack) {
  return tcp(s.guest, s.far, {.sequence = begin, .flags = flags, .options = {}}, Frame(size, 'x'));
}

Frame window(const Side& s, std::uint32_t next, std::uint16_t size, std::uint8_t flags = tcp_flag::ack) {
  return tcp(s.far, s.guest, {.acknowledgement = next, .flags = flags, .window = size, .options = {}});
}

// The bytes of payload that are left, after a look at lengths and checksums; -1 for nothing at all.
int left(Bytes admitted) {
  if (admitted.empty()) return -1;
  Frame frame(admitted.begin(), admitted.end());
  const ParsedFrame parsed = parse_packet(frame);
  REQUIRE(!parsed.malformed);
  REQUIRE(parsed.packet.frame.size() == frame.size());
  Frame again = frame;
  fix_checksums(again);
  CHECK(again == frame);
  return static_cast<int>(parsed.packet.payload().size());
}

std::uint8_t flags_of(Bytes admitted) {
  Frame frame(admitted.begin(), admitted.end());
  return parse_packet(frame).packet.tcp_flags;
}

}  // namespace

TEST_CASE("segments that do not touch the value are not touched") {
  const Side s = side(GENERATE(true, false));
  SequenceGate gate;
  for (const std::uint32_t begin :
       std::initializer_list<std::uint32_t>{s.fatal - 101, s.fatal, s.fatal + 1, s.fatal + 0x80000000u}) {
    const Frame frame = segment(s, begin, 100);
    CHECK(gate.admit(frame).data() == frame.data());
  }
  const Frame other = udp(s.guest, s.far);
  CHECK(gate.admit(other).data() == other.data());
  CHECK(gate.cut() == 0);
}

TEST_CASE("no segment ends at the value") {
  const Side s = side(GENERATE(true, false));
  SequenceGate gate;
  CHECK(left(gate.admit(segment(s, s.fatal - 100, 100))) == 99);
  CHECK(left(gate.admit(segment(s, s.fatal - 100, 100, tcp_flag::ack | tcp_flag::fin))) == 99);
  CHECK((flags_of(gate.admit(segment(s, s.fatal - 100, 100, tcp_flag::ack | tcp_flag::fin))) & tcp_flag::fin) == 0);
  CHECK(left(gate.admit(segment(s, s.fatal - 1, 1))) == 0);
  CHECK(left(gate.admit(segment(s, s.fatal, 0, tcp_flag::ack | tcp_flag::fin))) == -1);
  CHECK(left(gate.admit(segment(s, s.fatal - 1, 0, tcp_flag::syn))) == -1);
  CHECK(left(gate.admit(segment(s, s.fatal - 101, 100, tcp_flag::syn))) == 99);
}

TEST_CASE("across the value a segment stays within the announced window") {
  const Side s = side(GENERATE(true, false));
  SequenceGate gate;
  CHECK(left(gate.admit(segment(s, s.fatal - 50, 100))) == 49);  // nothing announced yet
  gate.answered(window(s, s.fatal - 50, 1000));
  CHECK(left(gate.admit(segment(s, s.fatal - 50, 100))) == 100);
  CHECK(left(gate.admit(segment(s, s.fatal - 50, 1400))) == 1000);
  gate.answered(window(s, s.fatal - 50, 200));  // what was announced once still holds
  CHECK(left(gate.admit(segment(s, s.fatal - 50, 1400))) == 1000);
  gate.answered(window(s, s.fatal - 50, 50, tcp_flag::syn | tcp_flag::ack));  // a new connection has its own
  CHECK(left(gate.admit(segment(s, s.fatal - 50, 1400))) == 49);
}

TEST_CASE("a wrong checksum is not made right") {
  const Side s = side(true);
  SequenceGate gate;
  Frame frame = segment(s, s.fatal - 100, 100);
  frame.back() ^= 1;
  CHECK(left(gate.admit(frame)) == -1);
}
