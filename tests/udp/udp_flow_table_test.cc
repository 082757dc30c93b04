// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/udp/udp_flow_table.h"

#include <malloc.h>

#include "src/base/limits.h"
#include "tests/support/catch.h"
#include "tests/support/frames.h"
#include "tests/support/hash_flood.h"

namespace nh::test {
namespace {

UdpClient client(std::uint16_t port, std::uint64_t listener = 1) {
  return {listener, at("192.0.2.7", port), addr("192.0.2.1")};
}
UdpPair pair_of(std::uint16_t port) {
  return {at("10.0.2.100", 53), at("192.0.2.7", port)};
}

// How the two endpoints of a pair were once combined.
struct UnkeyedPairHash {
  std::size_t operator()(const UdpPair& pair) const {
    const std::size_t a = UnkeyedEndpointHash()(pair.guest), b = UnkeyedEndpointHash()(pair.guest_peer);
    return (a ^ (b + 0x9e3779b97f4a7c15ULL + (a << 6) + (a >> 2))) * 1099511628211ULL;
  }
};
UdpPair nth_pair(std::uint32_t n) {
  return {{Address::v4(0x0a000264), 53},
          {Address::v4(0xc0000200 + n / 50000), static_cast<std::uint16_t>(1024 + n % 50000)}};
}

TEST_CASE("clients that were chosen for one bucket of an unkeyed table spread over this one") {
  const auto pairs = colliding<UdpPair, UnkeyedPairHash>(nth_pair);
  REQUIRE(longest_bucket<UnkeyedPairHash>(pairs) == flood);
  CHECK(longest_bucket<KeyedHash>(pairs) <= longest_by_chance);
}

TEST_CASE("flows are found from both sides until they are forgotten") {
  ManualClock clock;
  UdpFlowTable table(10);
  UdpFlow* const flow = table.open(client(1), pair_of(1), clock.now());
  REQUIRE(flow != nullptr);
  CHECK(table.find(client(1)) == flow);
  CHECK(table.find(pair_of(1)) == flow);
  CHECK(table.find(client(1, 2)) == nullptr);
  CHECK(table.find(pair_of(2)) == nullptr);
  table.forget(*flow);
  CHECK(table.find(client(1)) == nullptr);
  CHECK(table.find(pair_of(1)) == nullptr);
  CHECK(table.next_deadline() == Instant::max());
}

TEST_CASE("a pair that is taken gets another port, and there are enough of them") {
  ManualClock clock;
  UdpFlowTable table(100000);
  REQUIRE(table.open(client(5000), pair_of(5000), clock.now()) != nullptr);
  UdpFlow* const second = table.open(client(5000, 2), pair_of(5000), clock.now());
  REQUIRE(second != nullptr);
  CHECK(second->pair.guest_peer.port != 5000);
  // The ports from 1024 on are the ones to choose from: all 64512 can be had, and then no more.
  std::size_t opened = 2;
  for (std::uint64_t listener = 3; table.open(client(5000, listener), pair_of(5000), clock.now()) != nullptr; ++listener)
    ++opened;
  CHECK(opened == 64512);
}

TEST_CASE("a full table opens nothing") {
  ManualClock clock;
  UdpFlowTable table(2);
  CHECK(table.open(client(1), pair_of(1), clock.now()) != nullptr);
  CHECK(table.open(client(2), pair_of(2), clock.now()) != nullptr);
  CHECK(table.open(client(3), pair_of(3), clock.now()) == nullptr);
  table.for_each([&table](UdpFlow& flow) { table.forget(flow); });
  CHECK(table.size() == 0);
  CHECK(table.open(client(3), pair_of(3), clock.now()) != nullptr);
}

TEST_CASE("the flow that was not used for longest is idle first; answered flows last longer") {
  ManualClock clock;
  UdpFlowTable table(10);
  UdpFlow* const first = table.open(client(1), pair_of(1), clock.now());
  UdpFlow* const answered = table.open(client(2), pair_of(2), clock.now());
  clock.advance(std::chrono::seconds(10));
  UdpFlow* const third = table.open(client(3), pair_of(3), clock.now());
  table.used(*answered, clock.now(), true);
  CHECK(table.idle(clock.now()) == nullptr);
  clock.advance(limits::udp_idle_unanswered - std::chrono::seconds(10));
  CHECK(table.next_deadline() <= clock.now());
  REQUIRE(table.idle(clock.now()) == first);
  table.used(*first, clock.now(), false);
  CHECK(table.idle(clock.now()) == nullptr);
  clock.advance(std::chrono::seconds(10));
  REQUIRE(table.idle(clock.now()) == third);
  table.forget(*third);
  table.forget(*first);
  CHECK(table.idle(clock.now()) == nullptr);
  clock.advance(limits::udp_idle_answered);
  CHECK(table.idle(clock.now()) == answered);
}

#ifndef NETNS_HELPER_SANITIZED  // the sanitizers' allocator tells nothing here
TEST_CASE("a flow costs no more memory than the header says") {
  constexpr std::size_t many = 10000, most = 448;  // bytes; what the header says, and room for another C++ library
  ManualClock clock;
  UdpFlowTable table(many);
  const std::size_t before = mallinfo2().uordblks;
  for (std::size_t i = 0; i < many; ++i)
    REQUIRE(table.open(client(static_cast<std::uint16_t>(i + 1)), pair_of(static_cast<std::uint16_t>(i + 1)), clock.now()) !=
            nullptr);
  const std::size_t each = (mallinfo2().uordblks - before) / many;
  INFO(each << " bytes each");
  CHECK(each <= most);
  CHECK(each > 0);
}
#endif

}  // namespace
}  // namespace nh::test
