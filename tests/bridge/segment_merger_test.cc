// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/bridge/segment_merger.h"

#include "tests/bridge/tcp_frames.h"
#include "tests/support/catch.h"

using namespace nh;
using nh::test::TcpFrame;
using Offer = SegmentMerger::Offer;

namespace {

std::string payload(std::size_t size, char first) {
  std::string text(size, first);
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(first + static_cast<char>(i % 23));
  return text;
}

// What a network card would make of the merged frame again: segments with whole checksums.
std::vector<TcpFrame> split(const SegmentMerger::Pending& pending, bool v4) {
  const std::size_t headers = ethernet_header + (v4 ? ipv4_header : ipv6_header) + tcp_header;
  std::vector<TcpFrame> segments;
  const Bytes f = pending.frame;
  const std::size_t tcp = headers - tcp_header;
  std::uint32_t sequence =
      (std::uint32_t{f[tcp + 4]} << 24) | (std::uint32_t{f[tcp + 5]} << 16) | (std::uint32_t{f[tcp + 6]} << 8) | f[tcp + 7];
  for (std::size_t at = headers; at < f.size(); at += pending.offload.segment_size) {
    const Bytes part = f.subspan(at, std::min<std::size_t>(pending.offload.segment_size, f.size() - at));
    TcpFrame segment;
    segment.sequence = sequence;
    segment.payload.assign(part.begin(), part.end());
    segments.push_back(segment);
    sequence += static_cast<std::uint32_t>(part.size());
  }
  return segments;
}

// The pseudo-header's sum that is in the field plus the sum of the segment must verify, as in the kernel.
bool partial_checksum_right(Bytes frame, bool v4) {
  std::vector<std::uint8_t> copy(frame.begin(), frame.end());
  const std::size_t tcp = ethernet_header + (v4 ? ipv4_header : ipv6_header);
  const std::uint16_t sum = checksum_finish(checksum_add(Bytes(copy).subspan(tcp), 0));
  copy[tcp + 16] = static_cast<std::uint8_t>(sum >> 8);
  copy[tcp + 17] = static_cast<std::uint8_t>(sum);
  return test::checksums_right(copy);
}

}  // namespace

TEST_CASE("neighbouring segments of a flow become one frame, byte for byte", "[merger]") {
  const bool v4 = GENERATE(true, false);
  TcpFrame frame;
  if (!v4) {
    frame.from = {Address::parse("2001:db8::7").value(), 80};
    frame.to = {Address::parse("fd00::100").value(), 40000};
  }
  SegmentMerger merger;
  std::string sent;
  for (int i = 0; i < 5; ++i) {
    frame.payload = payload(i < 4 ? 1460 : 17, static_cast<char>('a' + i));
    CHECK(merger.offer(frame.build()) == Offer::kept);
    sent += frame.payload;
    frame.sequence += static_cast<std::uint32_t>(frame.payload.size());
    ++frame.ip_id;
  }
  const auto pending = merger.take();
  CHECK(pending.offload.segment_size == 1460);
  CHECK(pending.offload.partial_checksum);
  CHECK(partial_checksum_right(pending.frame, v4));
  std::string received;
  std::uint32_t expected = 1000;
  for (const TcpFrame& segment : split(pending, v4)) {
    CHECK(segment.sequence == expected);
    expected += static_cast<std::uint32_t>(segment.payload.size());
    received += segment.payload;
  }
  CHECK(received == sent);
  CHECK(merger.take().frame.empty());
}

TEST_CASE("one segment alone goes out as it came", "[merger]") {
  TcpFrame frame;
  frame.payload = "hello";
  SegmentMerger merger;
  const auto bytes = frame.build();
  CHECK(merger.offer(bytes) == Offer::kept);
  const auto pending = merger.take();
  CHECK_FALSE(pending.offload.partial_checksum);
  CHECK(std::vector<std::uint8_t>(pending.frame.begin(), pending.frame.end()) == bytes);
}

TEST_CASE("what is not the next segment of the same flow is not merged", "[merger]") {
  TcpFrame first;
  first.payload = payload(1000, 'a');
  TcpFrame next = first;
  next.sequence += 1000;
  SECTION("the next one is") {
    SegmentMerger merger;
    REQUIRE(merger.offer(first.build()) == Offer::kept);
    CHECK(merger.offer(next.build()) == Offer::kept);
  }
  const auto refused = [&](const TcpFrame& other) {
    SegmentMerger merger;
    REQUIRE(merger.offer(first.build()) == Offer::kept);
    const Offer offer = merger.offer(other.build());
    CHECK(offer == Offer::flush_first);
    CHECK(merger.take().frame.size() == first.build().size());
  };
  SECTION("a gap") {
    next.sequence += 1;
    refused(next);
  }
  SECTION("a repeat") {
    next.sequence = first.sequence;
    refused(next);
  }
  SECTION("another source port") {
    next.from.port = 81;
    refused(next);
  }
  SECTION("another destination") {
    next.to.address = Address::parse("10.0.2.101").value();
    refused(next);
  }
  SECTION("another source") {
    next.from.address = Address::parse("198.51.100.8").value();
    refused(next);
  }
  SECTION("another acknowledgement") {
    next.acknowledgement += 1;
    refused(next);
  }
  SECTION("another window") {
    next.window = 100;
    refused(next);
  }
  SECTION("FIN") {
    next.flags |= tcp_flag::fin;
    refused(next);
  }
  SECTION("RST") {
    next.flags |= tcp_flag::rst;
    refused(next);
  }
  SECTION("SYN") {
    next.flags |= tcp_flag::syn;
    refused(next);
  }
  SECTION("no payload") {
    next.payload.clear();
    refused(next);
  }
  SECTION("larger than the first") {
    next.payload = payload(1001, 'b');
    refused(next);
  }
}

TEST_CASE("nothing follows a short or a pushed segment", "[merger]") {
  TcpFrame frame;
  SegmentMerger merger;
  frame.payload = payload(100, 'a');
  REQUIRE(merger.offer(frame.build()) == Offer::kept);
  frame.sequence += 100;
  SECTION("short") {
    frame.payload = payload(99, 'b');
  }
  SECTION("pushed") {
    frame.flags |= tcp_flag::psh;
  }
  REQUIRE(merger.offer(frame.build()) == Offer::kept);
  frame.sequence += static_cast<std::uint32_t>(frame.payload.size());
  frame.flags = tcp_flag::ack;
  CHECK(merger.offer(frame.build()) == Offer::flush_first);
}

TEST_CASE("a merged frame never exceeds what an IPv4 length can say", "[merger]") {
  TcpFrame frame;
  SegmentMerger merger;
  frame.payload = payload(1460, 'a');
  int kept = 0;
  while (merger.offer(frame.build()) == Offer::kept && kept < 1000) {
    ++kept;
    frame.sequence += 1460;
  }
  CHECK(kept == (65535 - 40) / 1460);
  CHECK(merger.take().frame.size() <= ethernet_header + 65535);
}

TEST_CASE("frames that are no TCP data, and torn ones, are left alone", "[merger]") {
  SegmentMerger merger;
  TcpFrame frame;
  CHECK(merger.offer(frame.build()) == Offer::not_tcp);  // a bare acknowledgement
  frame.payload = "x";
  auto bytes = frame.build();
  for (std::size_t size = 0; size < bytes.size(); ++size) CHECK(merger.offer(Bytes(bytes).first(size)) == Offer::not_tcp);
  bytes[ethernet_header + 9] = protocol::udp;
  CHECK(merger.offer(bytes) == Offer::not_tcp);
}
