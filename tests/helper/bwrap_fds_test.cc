// SPDX-License-Identifier: BSD-3-Clause
#include "src/helper/bwrap_fds.h"

#include "tests/support/catch.h"

using namespace nh;

TEST_CASE("bwrap's info names the sandbox's process", "[bwrap]") {
  CHECK(parse_bwrap_info("{\n    \"child-pid\": 4711,\n    \"net-namespace\": 4026532561\n}\n").value() == 4711);
  CHECK(parse_bwrap_info(R"({ "child-pid": 1, "cgroup-namespace": 4026531835 })").value() == 1);
}

TEST_CASE("what is not bwrap's info is refused", "[bwrap]") {
  for (const char* text :
       {"", "{", "[]", "null", "1", "{}", R"({"child-pid":0})", R"({"child-pid":-1})", R"({"child-pid":1e3})",
        R"({"child-pid":4294967296})", R"({"child-pid":"1"})", R"({"child-pid":1,"child-pid":2})", R"({"child-pid":1}x)"}) {
    INFO(text);
    const auto pid = parse_bwrap_info(text);
    REQUIRE_FALSE(pid.ok());
    CHECK(pid.error().code == Code::invalid);
  }
}
