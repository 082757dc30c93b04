// SPDX-License-Identifier: BSD-3-Clause
#include "src/json/json_framing.h"

#include <vector>

#include "tests/support/catch.h"

using nh::JsonFraming;
using State = JsonFraming::State;

namespace {

/// All objects of a text that arrives in the given pieces.
std::vector<std::string> objects(const std::vector<std::string_view>& pieces) {
  JsonFraming framing(1000);
  std::vector<std::string> found;
  for (const auto piece : pieces) {
    framing.feed(piece);
    for (; framing.state() == State::complete; framing.next()) found.emplace_back(framing.object());
  }
  return found;
}

}  // namespace

TEST_CASE("an object ends where it ends, with and without a newline") {
  JsonFraming framing(100);
  CHECK(framing.state() == State::empty);
  framing.feed(" \r\n\t");
  CHECK(framing.state() == State::empty);
  CHECK(framing.waiting().empty());
  framing.feed("{\"a\":1");
  CHECK(framing.state() == State::incomplete);
  framing.feed("}");
  REQUIRE(framing.state() == State::complete);
  CHECK(framing.object() == "{\"a\":1}");
  CHECK(framing.ends_bare());
  framing.next();
  CHECK(framing.state() == State::empty);
}

TEST_CASE("an object ends bare only if blanks alone follow") {
  const auto bare = [](std::string_view text) {
    JsonFraming framing(100);
    framing.feed(text);
    REQUIRE(framing.state() == State::complete);
    return framing.ends_bare();
  };
  CHECK(bare("{}"));
  CHECK(bare("{} \t"));
  CHECK_FALSE(bare("{}\n"));
  CHECK_FALSE(bare("{}\r\n"));
  CHECK_FALSE(bare("{}{"));
  CHECK_FALSE(bare("{}x"));
}

TEST_CASE("brackets and quotes inside strings do not count, at every place of a split") {
  const std::string first = R"({"a":"}]\"{[\\","b":[{},{"c":"\\\""}]})";
  const std::string second = R"({"x":{}})";
  const std::string text = "\n" + first + second + "\n  ";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    CAPTURE(cut);
    const std::string_view whole(text);
    CHECK(objects({whole.substr(0, cut), whole.substr(cut)}) == std::vector{first, second});
  }
  std::vector<std::string_view> bytes;
  for (std::size_t i = 0; i < text.size(); ++i) bytes.push_back(std::string_view(text).substr(i, 1));
  CHECK(objects(bytes) == std::vector{first, second});
}

TEST_CASE("an escaped quote does not end a string") {
  for (const std::string text : {R"({"a":"\"}"})", R"({"a":"\\\"}"})", R"({"a\"}":1})"})
    CHECK(objects({text}) == std::vector{text});
  CHECK(objects({R"({"a":"\\"}{})"}) == std::vector<std::string>{R"({"a":"\\"})", "{}"});
}

TEST_CASE("what is no object is garbage for ever") {
  for (const char* text : {"x", "[1]", "\"a\"", "}", "\xef\xbb\xbf{}", "1", "  null"}) {
    CAPTURE(text);
    JsonFraming framing(100);
    framing.feed(text);
    CHECK(framing.state() == State::garbage);
  }
  JsonFraming framing(100);
  framing.feed("{}]");
  REQUIRE(framing.state() == State::complete);
  framing.next();
  CHECK(framing.state() == State::garbage);
}

TEST_CASE("the cap is exact, and does not depend on what follows") {
  for (const std::size_t more : {0u, 1u}) {
    const std::string object = "{\"a\":\"" + std::string(92 + more, 'x') + "\"}";
    REQUIRE(object.size() == 100 + more);
    JsonFraming framing(100);
    framing.feed("   ");
    framing.feed(object + std::string(200, ' '));
    CHECK(framing.state() == (more == 0 ? State::complete : State::too_large));
  }
  JsonFraming endless(100);
  endless.feed("{" + std::string(99, ' '));
  CHECK(endless.state() == State::incomplete);
  endless.feed(" ");
  CHECK(endless.state() == State::too_large);
}
