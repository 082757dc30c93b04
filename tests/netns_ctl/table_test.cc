// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-ctl/table.h"

#include "tests/support/catch.h"

using namespace nh::ctl;

TEST_CASE("a table is aligned, numbers to the right") {
  Table table({{"ID", true}, {"NAME"}, {"BYTES", true}});
  table.add({"1", "one", "5"});
  table.add({"200", "two and more", "77.0K"});
  CHECK(table.text(0) ==
        " ID  NAME          BYTES\n"
        "  1  one               5\n"
        "200  two and more  77.0K\n");
}

TEST_CASE("where room is short columns leave by their number, then texts are cut, then lines") {
  Table table({{"ID", true}, {"NAME"}, {"LESS", false, 1}, {"LEAST", false, 2}});
  table.add({"1", "a long name indeed", "xxxx", "yyyyy"});
  CHECK(table.lines(35)[0] == "ID  NAME                LESS  LEAST");
  CHECK(table.lines(34)[0] == "ID  NAME                LESS");
  CHECK(table.lines(27)[1] == " 1  a long name indeed");
  CHECK(table.lines(12)[1] == " 1  a long..");
  for (std::size_t width = 1; width < 60; ++width)
    for (const std::string& line : table.lines(width)) CHECK(line.size() <= width);
}

TEST_CASE("what a terminal would take for more than text is not shown") {
  Table table({{"A"}});
  table.add({"x\x1b[31m\n\xc3\xa9"});
  CHECK(table.text(0) == "A\nx?[31m???\n");
}

TEST_CASE("bytes, rates, ages and ports as people read them") {
  CHECK(human_bytes(0) == "0");
  CHECK(human_bytes(999) == "999");
  CHECK(human_bytes(1000) == "1.0K");
  CHECK(human_bytes(1024) == "1.0K");
  CHECK(human_bytes(1536) == "1.5K");
  CHECK(human_bytes(1024.0 * 1024 * 5) == "5.0M");
  CHECK(human_bytes(1023.97 * 1024) == "1.0M");
  CHECK(human_bytes(18446744073709551615.0) == "16384.0P");
  CHECK(human_rate(2048) == "2.0K/s");
  CHECK(human_age(-1) == "0s");
  CHECK(human_age(59.9) == "59s");
  CHECK(human_age(65) == "1m05s");
  CHECK(human_age(7380) == "2h03m");
  CHECK(human_age(3 * 86400 + 4 * 3600) == "3d04h");
  CHECK(endpoint_text("10.0.0.1", "80") == "10.0.0.1:80");
  CHECK(endpoint_text("fd00::1", "80") == "[fd00::1]:80");
  CHECK(endpoint_text("", "") == "unix");
  CHECK(ports_text({80}) == "80");
  CHECK(ports_text({82, 80, 81, 443}) == "80-82,443");
  CHECK(ports_text({}).empty());
}
