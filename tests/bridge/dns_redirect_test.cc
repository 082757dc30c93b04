// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/bridge/dns_redirect.h"

#include "tests/bridge/tcp_frames.h"
#include "tests/support/catch.h"

using namespace nh;
using nh::test::TcpFrame;

namespace {
Address addr(const char* text) {
  return Address::parse(text).value();
}
AddressPlan plan() {
  return AddressPlan::make(Cidr::parse("10.0.2.0/24").value(), Cidr::parse("fd00::/64").value(), 1500).value();
}
}  // namespace

TEST_CASE("a segment to DNS goes to the listener and its answer comes back from DNS", "[dns]") {
  const bool v4 = GENERATE(true, false);
  const Endpoint dns{addr(v4 ? "10.0.2.3" : "fd00::3"), 53};
  const Endpoint guest{addr(v4 ? "10.0.2.100" : "fd00::100"), 50001};
  const Endpoint listener{addr(v4 ? "127.0.0.1" : "::1"), 41234};
  const DnsRedirect redirect(plan(), Endpoint{addr("127.0.0.1"), 41234}, Endpoint{addr("::1"), 41234});

  TcpFrame query;
  query.from = guest;
  query.to = dns;
  query.payload = "odd";
  auto frame = query.build();
  ParsedFrame parsed = parse_packet(frame);
  REQUIRE_FALSE(parsed.malformed);
  REQUIRE(redirect.to_listener(parsed.packet));
  CHECK(test::checksums_right(frame));
  CHECK(parse_packet(frame).packet.to() == listener);
  CHECK(parse_packet(frame).packet.from() == guest);

  TcpFrame answer;
  answer.from = listener;
  answer.to = guest;
  auto back = answer.build();
  CHECK(redirect.is_from_listener(back));
  redirect.from_listener(back);
  CHECK(test::checksums_right(back));
  CHECK(parse_packet(back).packet.from() == dns);
  CHECK(parse_packet(back).packet.to() == guest);
}

TEST_CASE("frames that do not come from the listener are not touched", "[dns]") {
  const DnsRedirect redirect(plan(), Endpoint{addr("127.0.0.1"), 41234}, std::nullopt);
  TcpFrame other;
  other.from = {addr("127.0.0.1"), 41235};
  CHECK_FALSE(redirect.is_from_listener(other.build()));
  other.from = {addr("127.0.0.2"), 41234};
  CHECK_FALSE(redirect.is_from_listener(other.build()));
  other.from = {addr("::1"), 41234};
  other.to = {addr("fd00::100"), 1};
  CHECK_FALSE(redirect.is_from_listener(other.build()));
  other.from = {addr("127.0.0.1"), 41234};
  other.to = {addr("10.0.2.100"), 1};
  auto bytes = other.build();
  CHECK(redirect.is_from_listener(bytes));
  for (std::size_t size = 0; size < ethernet_header + ipv4_header + tcp_header; ++size)
    CHECK_FALSE(redirect.is_from_listener(Bytes(bytes).first(size)));
  bytes[ethernet_header + 9] = protocol::udp;
  CHECK_FALSE(redirect.is_from_listener(bytes));
}

TEST_CASE("without a listener of its family a segment is not led anywhere", "[dns]") {
  const DnsRedirect redirect(plan(), std::nullopt, std::nullopt);
  TcpFrame query;
  query.to = {addr("10.0.2.3"), 53};
  auto frame = query.build();
  CHECK_FALSE(redirect.to_listener(parse_packet(frame).packet));
}
