// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/frame/builder.h"

#include <numeric>

#include "src/base/limits.h"
#include "tests/support/catch.h"
#include "tests/support/frame_recorder.h"

namespace nh::test {
namespace {

const LinkPath link_path{MacAddress{{0x52, 0x55, 10, 0, 2, 2}}, guest_mac};

std::vector<std::uint8_t> bytes_of(std::size_t size) {
  std::vector<std::uint8_t> bytes(size);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{1});
  return bytes;
}

struct Ends {
  Endpoint from, to;
};
Ends ends(Family family) {
  return family == Family::v4 ? Ends{at("192.0.2.7", 4000), at("10.0.2.100", 53)}
                              : Ends{at("2001:db8::7", 4000), at("fd00::100", 53)};
}

// Checks all checksums of a frame that is no fragment, by the tests' own arithmetic.
bool checksums_right(const Frame& frame) {
  Frame fixed = frame;
  fix_checksums(fixed);
  return fixed == frame;
}

Packet parsed(Frame& frame) {
  const ParsedFrame result = parse_packet(frame);
  REQUIRE(!result.malformed);
  return result.packet;
}

TEST_CASE("a datagram that fits is one frame with right checksums") {
  const Family family = GENERATE(Family::v4, Family::v6);
  const std::size_t size = GENERATE(0u, 1u, 2u, 999u, 1452u);
  FrameRecorder sink;
  const Ends e = ends(family);
  const auto payload = bytes_of(size);
  send_udp(sink, link_path, e.from, e.to, payload, 1500);
  REQUIRE(sink.frames.size() == 1);
  REQUIRE(checksums_right(sink.frames[0]));
  const auto datagrams = sink.datagrams();
  REQUIRE(datagrams.size() == 1);
  CHECK(datagrams[0].from == e.from);
  CHECK(datagrams[0].to == e.to);
  CHECK(datagrams[0].mac_source == link_path.from);
  CHECK(datagrams[0].mac_destination == link_path.to);
  CHECK(datagrams[0].payload == payload);
}

TEST_CASE("a datagram beyond the MTU goes out in fragments that fit and fit together") {
  const Family family = GENERATE(Family::v4, Family::v6);
  const unsigned mtu = GENERATE(1280u, 1500u, 1501u, 9000u);
  const std::size_t size = GENERATE(std::size_t{4000}, std::size_t{9001}, limits::datagram);
  FrameRecorder sink;
  const Ends e = ends(family);
  const auto payload = bytes_of(size);
  send_udp(sink, link_path, e.from, e.to, payload, mtu);
  for (const Frame& frame : sink.frames) CHECK(frame.size() <= ethernet_header + mtu);
  const auto datagrams = sink.datagrams();
  REQUIRE(datagrams.size() == 1);
  CHECK(datagrams[0].frames == sink.frames.size());
  CHECK(datagrams[0].payload == payload);
  CHECK(datagrams[0].mac_destination == link_path.to);
}

TEST_CASE("the largest datagram that fits is not fragmented, one byte more is") {
  const Family family = GENERATE(Family::v4, Family::v6);
  const std::size_t most = 1500 - udp_header - (family == Family::v4 ? ipv4_header : ipv6_header);
  const Ends e = ends(family);
  FrameRecorder fits, beyond;
  send_udp(fits, link_path, e.from, e.to, bytes_of(most), 1500);
  send_udp(beyond, link_path, e.from, e.to, bytes_of(most + 1), 1500);
  CHECK(fits.frames.size() == 1);
  CHECK(fits.frames[0].size() == ethernet_header + 1500);
  CHECK(beyond.frames.size() == 2);
}

TEST_CASE("fragmented datagrams have different identifications") {
  FrameRecorder sink;
  const Ends e = ends(GENERATE(Family::v4, Family::v6));
  send_udp(sink, link_path, e.from, e.to, bytes_of(2000), 1500);
  send_udp(sink, link_path, e.from, e.to, bytes_of(2000), 1500);
  REQUIRE(sink.frames.size() == 4);
  const auto id = [&sink](std::size_t i) { return parsed(sink.frames[i]).fragment_id; };
  CHECK(id(0) == id(1));
  CHECK(id(2) == id(3));
  CHECK(id(0) != id(2));
}

TEST_CASE("a UDP checksum that comes out as zero is sent as ffff") {
  // A payload of two bytes can bring the sum to any value: take the one that makes it zero.
  const Ends e = ends(Family::v4);
  std::vector<std::uint8_t> payload{0, 0};
  FrameRecorder sink;
  send_udp(sink, link_path, e.from, e.to, payload, 1500);
  const Packet packet = parsed(sink.frames[0]);
  payload = {packet.l4()[6], packet.l4()[7]};
  sink.frames.clear();
  send_udp(sink, link_path, e.from, e.to, payload, 1500);
  const Packet zero = parsed(sink.frames[0]);
  CHECK(int{zero.l4()[6]} == 0xff);
  CHECK(int{zero.l4()[7]} == 0xff);
}

TEST_CASE("unreachable quotes the packet and tells the kind") {
  struct Row {
    Unreachable kind;
    int type4, code4, type6, code6;
  };
  const Row row = GENERATE(Row{Unreachable::net, 3, 0, 1, 0}, Row{Unreachable::host, 3, 1, 1, 3},
                           Row{Unreachable::port, 3, 3, 1, 4}, Row{Unreachable::prohibited, 3, 13, 1, 1});
  const bool v4 = GENERATE(true, false);
  Frame frame = v4 ? udp(at("10.0.2.100", 5000), at("192.0.2.7", 99), bytes_of(40))
                   : udp(at("fd00::100", 5000), at("2001:db8::7", 99), bytes_of(40));
  const Packet offending = parsed(frame);
  FrameRecorder sink;
  const Address from = addr(v4 ? "10.0.2.2" : "fd00::2");
  REQUIRE(send_unreachable(sink, offending, from, row.kind));
  REQUIRE(sink.frames.size() == 1);
  CHECK(checksums_right(sink.frames[0]));
  Packet error = parsed(sink.frames[0]);
  CHECK(error.source == from);
  CHECK(error.destination == offending.source);
  CHECK(error.mac_destination == offending.mac_source);
  CHECK(error.mac_source == offending.mac_destination);
  CHECK(int{error.l4()[0]} == (v4 ? row.type4 : row.type6));
  CHECK(int{error.l4()[1]} == (v4 ? row.code4 : row.code6));
  REQUIRE(read_quote(error));
  CHECK(error.quoted_from == offending.from());
  CHECK(error.quoted_to == offending.to());
}

TEST_CASE("an error about a datagram that is no longer there quotes it") {
  const bool v4 = GENERATE(true, false);
  const std::size_t size = GENERATE(std::size_t{0}, std::size_t{20}, std::size_t{3000});
  const std::vector<std::uint8_t> payload = bytes_of(size);
  const SentDatagram sent{at(v4 ? "10.0.2.100" : "fd00::100", 5000), at(v4 ? "192.0.2.7" : "2001:db8::7", 99), payload};
  const Address router = addr(v4 ? "10.0.2.2" : "fd00::2");
  FrameRecorder sink;
  send_unreachable(sink, link_path, sent, router, Unreachable::port);
  send_too_big(sink, link_path, sent, router, 1400);
  REQUIRE(sink.frames.size() == 2);
  for (Frame& frame : sink.frames) {
    CHECK(checksums_right(frame));
    CHECK(frame.size() <= ethernet_header + (v4 ? 576u : 1280u));
    Packet error = parsed(frame);
    CHECK(error.source == router);
    CHECK(error.destination == sent.from.address);
    CHECK(error.mac_destination == guest_mac);
    REQUIRE(read_quote(error));
    CHECK(error.quoted_from == sent.from);
    CHECK(error.quoted_to == sent.to);
  }
  const Packet port = parsed(sink.frames[0]), big = parsed(sink.frames[1]);
  CHECK(int{port.l4()[0]} == (v4 ? 3 : 1));
  CHECK(int{port.l4()[1]} == (v4 ? 3 : 4));
  CHECK(int{big.l4()[0]} == (v4 ? 3 : 2));
  CHECK(int{big.l4()[1]} == (v4 ? 4 : 0));
  CHECK(big.l4()[6] * 256 + big.l4()[7] == 1400);
}

TEST_CASE("a long packet is quoted as far as the standards allow") {
  const bool v4 = GENERATE(true, false);
  Frame frame = v4 ? udp(at("10.0.2.100", 5000), at("192.0.2.7", 99), bytes_of(3000))
                   : udp(at("fd00::100", 5000), at("2001:db8::7", 99), bytes_of(3000));
  FrameRecorder sink;
  REQUIRE(send_unreachable(sink, parsed(frame), addr(v4 ? "10.0.2.2" : "fd00::2"), Unreachable::port));
  CHECK(sink.frames[0].size() == ethernet_header + (v4 ? 576u : 1280u));
  CHECK(checksums_right(sink.frames[0]));
}

TEST_CASE("no ICMP error answers an ICMP error, a later fragment, multicast, broadcast or nobody") {
  FrameRecorder sink;
  const auto refused = [&sink](Frame frame, const char* from) {
    const ParsedFrame result = parse_packet(frame);
    return !send_unreachable(sink, result.packet, addr(from), Unreachable::port) && sink.frames.empty();
  };
  const Frame v4 = udp(at("10.0.2.100", 5000), at("192.0.2.7", 99), bytes_of(64));
  const Frame v6 = udp(at("fd00::100", 5000), at("2001:db8::7", 99), bytes_of(64));
  const Bytes quote = Bytes(v4).subspan(ethernet_header);
  std::vector<std::uint8_t> rest(4);
  rest.insert(rest.end(), quote.begin(), quote.end());
  for (const std::uint8_t type : {std::uint8_t{3}, std::uint8_t{5}, std::uint8_t{11}, std::uint8_t{12}})
    CHECK(refused(icmp(addr("10.0.2.100"), addr("192.0.2.7"), type, 0, rest), "10.0.2.2"));
  for (const std::uint8_t type : {std::uint8_t{1}, std::uint8_t{2}, std::uint8_t{3}, std::uint8_t{4}, std::uint8_t{137}})
    CHECK(refused(icmp(addr("fd00::100"), addr("2001:db8::7"), type, 0, rest), "fd00::2"));
  CHECK(refused(piece_of(v4, 16, 16, true), "10.0.2.2"));
  CHECK(refused(piece_of(v6, 16, 16, true), "fd00::2"));
  CHECK(refused(udp(at("10.0.2.100", 5), at("224.0.0.251", 5353)), "10.0.2.2"));
  CHECK(refused(udp(at("10.0.2.100", 5), at("255.255.255.255", 5353)), "10.0.2.2"));
  CHECK(refused(udp(at("0.0.0.0", 5), at("192.0.2.7", 5353)), "10.0.2.2"));
  CHECK(refused(udp(at("fd00::100", 5), at("ff02::1", 5353)), "fd00::2"));
  CHECK(refused(v4, "fd00::2"));
  // But an echo request is answered, and so is a first fragment.
  CHECK_FALSE(refused(icmp(addr("10.0.2.100"), addr("192.0.2.7"), 8, 0, rest), "10.0.2.2"));
  sink.frames.clear();
  CHECK_FALSE(refused(piece_of(v4, 0, 16, true), "10.0.2.2"));
}

std::uint32_t word(Bytes bytes, std::size_t at_byte) {
  return std::uint32_t{bytes[at_byte]} << 24 | std::uint32_t{bytes[at_byte + 1]} << 16 |
         std::uint32_t{bytes[at_byte + 2]} << 8 | bytes[at_byte + 3];
}

TEST_CASE("a SYN is reset with an acknowledgement of its length") {
  const bool v4 = GENERATE(true, false);
  const std::size_t data = GENERATE(0u, 5u);
  const TcpFields syn{.sequence = 0xffffffff, .flags = tcp_flag::syn};
  Frame frame = v4 ? tcp(at("10.0.2.100", 5000), at("192.0.2.7", 99), syn, bytes_of(data))
                   : tcp(at("fd00::100", 5000), at("2001:db8::7", 99), syn, bytes_of(data));
  const Packet segment = parsed(frame);
  FrameRecorder sink;
  REQUIRE(send_tcp_reset(sink, segment));
  CHECK(checksums_right(sink.frames[0]));
  const Packet reset = parsed(sink.frames[0]);
  CHECK(reset.from() == segment.to());
  CHECK(reset.to() == segment.from());
  CHECK(reset.mac_destination == guest_mac);
  CHECK(int{reset.tcp_flags} == (tcp_flag::rst | tcp_flag::ack));
  CHECK(word(reset.l4(), 4) == 0);
  CHECK(word(reset.l4(), 8) == static_cast<std::uint32_t>(data));  // 0xffffffff + 1 + data
}

TEST_CASE("a segment with ACK is reset at the number it acknowledges; a reset is not answered") {
  FrameRecorder sink;
  Frame frame = tcp(at("10.0.2.100", 5000), at("192.0.2.7", 99),
                    {.sequence = 5, .acknowledgement = 77, .flags = tcp_flag::ack}, bytes_of(3));
  REQUIRE(send_tcp_reset(sink, parsed(frame)));
  const Packet reset = parsed(sink.frames[0]);
  CHECK(int{reset.tcp_flags} == tcp_flag::rst);
  CHECK(word(reset.l4(), 4) == 77);
  Frame rst = tcp(at("10.0.2.100", 5000), at("192.0.2.7", 99), {.flags = tcp_flag::rst});
  CHECK_FALSE(send_tcp_reset(sink, parsed(rst)));
  CHECK(sink.frames.size() == 1);
}

}  // namespace
}  // namespace nh::test
