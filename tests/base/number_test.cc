// SPDX-License-Identifier: BSD-3-Clause
#include "src/base/number.h"

#include "tests/support/catch.h"

using namespace nh;

TEST_CASE("numbers are whole, decimal and within bounds", "[number]") {
  CHECK(parse_unsigned("68", 68, 65521, "mtu").value() == 68);
  CHECK(parse_unsigned("65521", 68, 65521, "mtu").value() == 65521);
  for (const char* text : {"", "67", "65522", "-1", "+80", " 80", "80 ", "0x50", "8e1", "80.0", "99999999999999999999"}) {
    INFO(text);
    const auto result = parse_unsigned(text, 68, 65521, "mtu");
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().field == "mtu");
    CHECK(result.error().what.find("68 to 65521") != std::string::npos);
  }
}

TEST_CASE("a port is 1 to 65535", "[number]") {
  CHECK(Port::parse("1").value().value() == 1);
  CHECK(Port::from(65535).value().value() == 65535);
  for (const std::int64_t bad :
       {std::int64_t{0}, std::int64_t{-1}, std::int64_t{65536}, std::int64_t{70080}, INT64_MAX, INT64_MIN}) {
    const auto result = Port::from(bad, "host_port");
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().field == "host_port");
  }
}
