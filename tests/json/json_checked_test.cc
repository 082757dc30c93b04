// SPDX-License-Identifier: BSD-3-Clause
#include "src/json/json_checked.h"

#include "src/base/limits.h"
#include "tests/support/catch.h"

using namespace nh;

namespace {

std::string nested(std::size_t levels, char open, char shut) {
  return std::string(levels, open) + std::string(levels, shut);
}

std::string list_of(std::size_t numbers) {
  std::string text = "[";
  for (std::size_t i = 0; i < numbers; ++i) text += i == 0 ? "1" : ",1";
  return text + "]";
}

std::string rule(std::string_view text) {
  auto parsed = parse_checked(text);
  return parsed ? "" : parsed.error().what;
}

}  // namespace

TEST_CASE("a document keeps the order of its members and all kinds of values") {
  const std::string text = R"({"z":1,"a":-2,"m":[1.5,true,false,null,"x\u00e9"],"k":{"k":{}}})";
  auto parsed = parse_checked(text);
  REQUIRE(parsed);
  CHECK(text_of(*parsed) == "{\"z\":1,\"a\":-2,\"m\":[1.5,true,false,null,\"x\u00e9\"],\"k\":{\"k\":{}}}");
}

TEST_CASE("depth and number of values are bounded exactly") {
  CHECK(parse_checked(nested(limits::control_depth, '[', ']')));
  CHECK(rule(nested(limits::control_depth + 1, '[', ']')).find("levels deep") != std::string::npos);
  CHECK(rule(nested(30000, '[', ']')).find("levels deep") != std::string::npos);
  CHECK(parse_checked(list_of(limits::control_values - 1)));
  CHECK(rule(list_of(limits::control_values)).find("more than 8192 values") != std::string::npos);
}

TEST_CASE("a member that is given twice is named") {
  auto parsed = parse_checked(R"({"a":{"b":1,"c":2,"b":3}})");
  REQUIRE_FALSE(parsed);
  CHECK(parsed.error().field == "b");
  CHECK(parsed.error().what.find("member b is given twice") != std::string::npos);
  CHECK(parse_checked(R"({"a":{"a":1},"b":{"a":1}})"));
  CHECK_FALSE(parse_checked(R"({"a":1,"\u0061":1})"));
}

TEST_CASE("what is not JSON is refused with the place") {
  CHECK(rule("{\"a\":nul}").find("byte 9") != std::string::npos);
  CHECK(rule("{\"a\":\"\xff\"}").find("UTF-8") != std::string::npos);
  CHECK(rule("{\"a\":1e999}").find("number") != std::string::npos);
  for (const char* text :
       {"", "{", "{}{}", "{\"a\":01}", "{\"a\":+1}", "{\"a\":.5}", "{a:1}", "{'a':1}", "{\"a\":1,}", "{/**/}"}) {
    CAPTURE(text);
    CHECK_FALSE(rule(text).empty());
  }
}

TEST_CASE("an integer is an integer within its bounds") {
  const auto value = [](const char* text) { return integer_of(*parse_checked(text), 1, 65535, "port"); };
  CHECK(*value("1") == 1);
  CHECK(*value("65535") == 65535);
  for (const char* text : {"0", "65536", "70080", "-1", "80.0", "8e1", "\"80\"", "null", "true", "[80]", "{}", "4294967376",
                           "18446744073709551616", "-0", "1e9"}) {
    CAPTURE(text);
    auto refused = value(text);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().field == "port");
    CHECK(refused.error().what.find("must be an integer from 1 to 65535, not ") != std::string::npos);
  }
}

TEST_CASE("what cannot be shown does not get into a message") {
  CHECK(text_of(Json("\xff")) == "\"\xef\xbf\xbd\"");
  CHECK(shown(std::string(65, 'a')) == std::string(64, 'a') + "...");
}
