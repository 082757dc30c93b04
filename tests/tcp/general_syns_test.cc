// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/tcp/general_syns.h"

#include "src/base/limits.h"
#include "tests/support/catch.h"
#include "tests/support/frames.h"

using namespace nh;
using namespace nh::test;

TEST_CASE("a SYN of the general path is known by its addresses and number, for as long as copies may come",
          "[general_syns]") {
  ManualClock clock;
  GeneralSyns syns(clock);
  const Endpoint guest = at("10.0.2.100", 40000), dialled = at("192.0.2.1", 80);
  CHECK_FALSE(syns.has(guest, dialled, 1));
  syns.add(guest, dialled, 1);
  CHECK(syns.has(guest, dialled, 1));
  CHECK_FALSE(syns.has(guest, dialled, 2));
  CHECK_FALSE(syns.has(dialled, guest, 1));
  syns.add(guest, dialled, 2);  // the port is used again
  CHECK_FALSE(syns.has(guest, dialled, 1));
  CHECK(syns.has(guest, dialled, 2));
  clock.advance(limits::outbound_general_syn);
  CHECK_FALSE(syns.has(guest, dialled, 2));
}

TEST_CASE("of too many SYNs of the general path the oldest is forgotten", "[general_syns]") {
  ManualClock clock;
  GeneralSyns syns(clock);
  const Endpoint dialled = at("192.0.2.1", 80);
  const auto guest = [](std::size_t number) { return at("10.0.2.100", static_cast<std::uint16_t>(1024 + number)); };
  for (std::size_t i = 0; i <= limits::outbound_general_syns; ++i) syns.add(guest(i), dialled, 1);
  CHECK_FALSE(syns.has(guest(0), dialled, 1));
  CHECK(syns.has(guest(1), dialled, 1));
  CHECK(syns.has(guest(limits::outbound_general_syns), dialled, 1));
}
