// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/frame/packet.h"

#include "tests/support/catch.h"
#include "tests/support/frames.h"

using namespace nh;
using namespace nh::test;

namespace {

const Endpoint guest4 = at("10.0.2.100", 4000), far4 = at("192.0.2.1", 80);
const Endpoint guest6 = at("fd00::100", 4000), far6 = at("2001:db8::1", 80);

std::optional<DropReason> fault(Frame frame) {
  return parse_packet(frame).malformed;
}

}  // namespace

TEST_CASE("both families are read into one view") {
  const bool v4 = GENERATE(true, false);
  Frame frame = udp(v4 ? guest4 : guest6, v4 ? far4 : far6, text("hello"));
  frame.resize(frame.size() + 9);  // Ethernet padding
  const ParsedFrame parsed = parse_packet(frame);
  REQUIRE(!parsed.malformed);
  const Packet& packet = parsed.packet;
  CHECK(packet.is_udp());
  CHECK(packet.from() == (v4 ? guest4 : guest6));
  CHECK(packet.to() == (v4 ? far4 : far6));
  CHECK(packet.mac_source == guest_mac);
  CHECK(packet.hop_limit == 64);
  CHECK(Frame(packet.payload().begin(), packet.payload().end()) == text("hello"));
}

TEST_CASE("a TCP header's options are not payload") {
  Frame frame = tcp(guest4, far4, {.flags = tcp_flag::syn | tcp_flag::ece, .options = {2, 4, 5, 180}}, text("data"));
  const ParsedFrame parsed = parse_packet(frame);
  REQUIRE(!parsed.malformed);
  CHECK(parsed.packet.is_tcp());
  CHECK(parsed.packet.tcp_flags == (tcp_flag::syn | tcp_flag::ece));
  CHECK(Frame(parsed.packet.payload().begin(), parsed.packet.payload().end()) == text("data"));
}

TEST_CASE("no cut of a frame is read beyond its end") {
  const std::vector<Frame> frames{udp(guest4, far4, text("hello")),
                                  udp(guest6, far6, text("hello")),
                                  tcp(guest4, far4, {.options = {2, 4, 5, 180}}),
                                  tcp(guest6, far6),
                                  icmp(addr("fd00::100"), addr("fd00::2"), 128, 0, text("12345678")),
                                  piece_of(udp(guest6, far6, Frame(64)), 0, 32, true),
                                  arp(1, addr("10.0.2.100"), addr("10.0.2.2"))};
  for (const Frame& whole : frames) {
    for (std::size_t size = 0; size < whole.size(); ++size) {
      // A copy of exactly this size, so that AddressSanitizer sees the first byte too many.
      Frame cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      cut.shrink_to_fit();
      const ParsedFrame parsed = parse_packet(cut);
      if (size < ethernet_header) CHECK(parsed.malformed == DropReason::frame_short);
      if (parsed.packet.is_ip()) CHECK(parsed.malformed.has_value());
    }
  }
}

TEST_CASE("lengths and versions that do not fit have their reasons") {
  Frame frame = udp(guest4, far4, text("hello"));
  SECTION("version") {
    frame[14] = 0x65;
    CHECK(fault(frame) == DropReason::ip_version);
  }
  SECTION("IPv4 header with options") {
    frame[14] = 0x46;
    CHECK(fault(frame) == DropReason::ip_header);
  }
  SECTION("IPv4 header length below 20") {
    frame[14] = 0x44;
    CHECK(fault(frame) == DropReason::ip_header);
  }
  SECTION("total length beyond the frame") {
    ++frame[17];
    CHECK(fault(frame) == DropReason::ip_header);
  }
  SECTION("total length below the header") {
    frame[17] = 19;
    CHECK(fault(frame) == DropReason::ip_header);
  }
  SECTION("UDP length above and below the datagram") {
    const int by = GENERATE(1, -1);
    frame[39] = static_cast<std::uint8_t>(frame[39] + by);
    CHECK(fault(frame) == DropReason::udp_length);
  }
  SECTION("TCP data offset below 5 and beyond the segment") {
    frame = tcp(guest4, far4);
    frame[46] = static_cast<std::uint8_t>(GENERATE(0x40, 0x60));
    CHECK(fault(frame) == DropReason::tcp_header);
  }
  SECTION("IPv6 payload length beyond the frame") {
    frame = udp(guest6, far6);
    ++frame[19];
    CHECK(fault(frame) == DropReason::ip_header);
  }
  SECTION("ICMP shorter than its header") {
    CHECK(fault(ip(guest4.address, far4.address, protocol::icmp, Frame(7))) == DropReason::icmp_malformed);
  }
}

TEST_CASE("the only IPv6 extension header that is carried is a fragment header") {
  for (const int header : {0, 43, 51, 60, 135, 139, 140}) {
    Frame options(8);
    options[0] = protocol::udp;
    INFO(header);
    CHECK(fault(ip(guest6.address, far6.address, static_cast<std::uint8_t>(header), options)) == DropReason::ipv6_extension);
  }
  // A fragment header with another extension header behind it.
  Frame options(16);
  options[0] = 60;
  CHECK(fault(ip(guest6.address, far6.address, 44, options)) == DropReason::ipv6_extension);
}

TEST_CASE("multicast listener reports are named behind their router alert") {
  const Frame report{58, 0, 5, 2, 0, 0, 1, 0, 143, 0, 0, 0, 0, 0, 0, 0};
  CHECK(fault(ip(guest6.address, addr("ff02::16"), 0, report)) == DropReason::icmp_type);
}

TEST_CASE("fragments carry their place and no ports") {
  Frame v4 = piece_of(udp(guest4, far4, Frame(100)), 48, 32, true, 0xbeef);
  Frame v6 = piece_of(udp(guest6, far6, Frame(100)), 48, 32, true, 0xdeadbeef);
  const Packet four = parse_packet(v4).packet, six = parse_packet(v6).packet;
  CHECK(four.fragment);
  CHECK(four.fragment_offset == 48);
  CHECK(four.more_fragments);
  CHECK(four.fragment_id == 0xbeef);
  CHECK(four.l4().size() == 32);
  CHECK(six.fragment);
  CHECK(six.fragment_offset == 48);
  CHECK(six.more_fragments);
  CHECK(six.fragment_id == 0xdeadbeef);
  CHECK(six.protocol == protocol::udp);
  CHECK(six.fragment_header_offset == ethernet_header + ipv6_header);
  CHECK(six.l4().size() == 32);
  CHECK(!six.is_udp());
  CHECK(six.destination_port == 0);
}

TEST_CASE("an ICMP error's quote is read in both families") {
  const bool v4 = GENERATE(true, false);
  const Endpoint client = v4 ? at("192.0.2.9", 5555) : at("2001:db8::9", 5555);
  const Endpoint guest = v4 ? at("10.0.2.100", 53) : at("fd00::100", 53);
  const Frame quoted = udp(client, guest, text("question"));
  Frame rest(4);
  rest.insert(rest.end(), quoted.begin() + 14, quoted.end());
  Frame error = icmp(guest.address, client.address, v4 ? 3 : 1, v4 ? 3 : 4, rest);
  Packet packet = parse_packet(error).packet;
  REQUIRE(packet.icmp_error);
  REQUIRE(read_quote(packet));
  CHECK(packet.quoted_protocol == protocol::udp);
  CHECK(packet.quoted_from == client);
  CHECK(packet.quoted_to == guest);

  const std::size_t header = v4 ? ipv4_header : ipv6_header;
  for (std::size_t size = 0; size < header + 4; ++size) {
    Frame cut(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(4 + size));
    Frame bad = icmp(guest.address, client.address, v4 ? 3 : 1, 0, cut);
    Packet short_quote = parse_packet(bad).packet;
    REQUIRE(short_quote.icmp_error);
    CHECK(!read_quote(short_quote));
  }
}
