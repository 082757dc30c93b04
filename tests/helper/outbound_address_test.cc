// SPDX-License-Identifier: BSD-3-Clause
#include "src/helper/outbound_address.h"

#include "tests/support/catch.h"

using namespace nh;

TEST_CASE("the source of connections is an address or the first one of an interface", "[outbound]") {
  CHECK_FALSE(outbound_address("", Family::v4, "outbound-addr")->has_value());
  CHECK(outbound_address("127.0.0.1", Family::v4, "outbound-addr").value()->text() == "127.0.0.1");
  CHECK(outbound_address("lo", Family::v4, "outbound-addr").value()->text() == "127.0.0.1");
}

TEST_CASE("what is neither is refused by name", "[outbound]") {
  for (const char* text : {"no-such-if", "::1", "1.2.3"}) {
    const auto result = outbound_address(text, Family::v4, "outbound-addr");
    INFO(text);
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().field == "outbound-addr");
    CHECK(result.error().code == Code::invalid);
  }
  CHECK(outbound_address("127.0.0.1", Family::v6, "outbound-addr6").error().field == "outbound-addr6");
}

TEST_CASE("an address that this host does not have is refused at start, not at each connection", "[outbound]") {
  const auto result = outbound_address("192.0.2.77", Family::v4, "outbound-addr");
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().code == Code::missing);
  CHECK(result.error().field == "outbound-addr");
}
