// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/guard/source_rule.h"

#include "tests/guard/bench_guard.h"
#include "tests/support/catch.h"

using namespace nh;
using namespace nh::test;

namespace {

Frame from(std::string_view source) {
  const Address address = addr(source);
  return udp({address, 4000}, address.is_v4() ? at("192.0.2.1", 80) : at("2001:db8::1", 80));
}

}  // namespace

TEST_CASE("the TAP's addresses are good sources, others are asked about") {
  BenchGuard bench;
  CHECK(bench.passes(from("10.0.2.100")));
  CHECK(bench.passes(from("fd00::100")));
  CHECK(bench.passes(from("fe80::1234")));
  for (const char* other : {"10.0.2.15", "172.17.0.2", "fd00::101", "2001:db8::7"}) {
    INFO(other);
    CHECK(bench.take(from(other)).action == GuardAction::unknown_source);
  }
  bench.guard.set_sources({addr("10.0.2.15")});
  CHECK(bench.passes(from("10.0.2.15")));
  CHECK(bench.take(from("10.0.2.100")).action == GuardAction::unknown_source);
}

TEST_CASE("a frame of an unknown source is judged again as if it were new") {
  BenchGuard bench;
  Frame frame = tcp(at("10.0.2.15", 4000), at("192.0.2.1", 80), {.flags = tcp_flag::ack | tcp_flag::urg, .urgent = 1});
  const Frame before = frame;
  CHECK(bench.guard.inspect(frame).action == GuardAction::unknown_source);
  CHECK(frame == before);
  bench.guard.set_sources({addr("10.0.2.15")});
  CHECK(bench.guard.inspect(frame).action == GuardAction::pass);
}

TEST_CASE("until the addresses are known, the virtual network's are good") {
  ManualClock clock;
  FrameGuard guard({.plan = plan()}, clock);
  const auto action = [&guard](std::string_view source) {
    Frame frame = from(source);
    return guard.inspect(frame).action;
  };
  CHECK(action("10.0.2.15") == GuardAction::pass);
  CHECK(action("fd00::1234") == GuardAction::pass);
  CHECK(action("172.17.0.2") == GuardAction::drop);
  CHECK(action("10.0.2.255") == GuardAction::drop);
  CHECK(action("10.0.2.0") == GuardAction::drop);
}

TEST_CASE("addresses of ours and of nobody are no sources, even if the guest puts them on its TAP") {
  BenchGuard bench;
  std::vector<Address> taken;
  const std::vector<const char*> bad{"10.0.2.2",          "10.0.2.3",     "127.0.0.1", "0.0.0.0",   "0.1.2.3",
                                     "255.255.255.255",   "10.0.2.255",   "224.0.0.1", "240.0.0.1", "fd00::2",
                                     "fd00::3",           "fe80::2",      "fe80::3",   "::",        "::1",
                                     "::ffff:10.0.2.100", "::10.0.2.100", "ff02::1"};
  for (const char* address : bad) taken.push_back(addr(address));
  bench.guard.set_sources(taken);
  for (const char* address : bad) {
    INFO(address);
    CHECK(bench.drops(from(address), DropReason::ip_source));
  }
}

TEST_CASE("a host without an address may ask for one, and nothing else") {
  BenchGuard bench;
  const Frame discover = dhcp_message(Frame{53, 1, 1, 255});
  CHECK(bench.passes(udp(at("0.0.0.0", 68), at("255.255.255.255", 67), discover)));
  CHECK(bench.drops(udp(at("0.0.0.0", 69), at("255.255.255.255", 67), discover), DropReason::ip_source));
  Frame target(4);
  const Address own = addr("fd00::100");
  target.insert(target.end(), own.bytes().begin(), own.bytes().end());
  CHECK(bench.passes(icmp(addr("::"), addr("ff02::1:ff00:100"), icmpv6_type::neighbour_solicitation, 0, target)));
  CHECK(bench.passes(icmp(addr("::"), addr("ff02::2"), icmpv6_type::router_solicitation, 0, Frame(4))));
  CHECK(bench.drops(icmp(addr("::"), addr("fd00::2"), icmpv6_type::echo_request, 0, Frame(4)), DropReason::ip_source));
  CHECK(bench.drops(piece_of(udp(at("0.0.0.0", 68), at("255.255.255.255", 67), discover), 0, 64, true),
                    DropReason::ip_source));
}
