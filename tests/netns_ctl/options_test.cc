// SPDX-License-Identifier: BSD-3-Clause
// The command line of netns-ctl, and the files that `forward replace` takes.
#include "tools/netns-ctl/options.h"

#include "tests/support/catch.h"
#include "tools/netns-ctl/verbs.h"

using namespace nh;
using namespace nh::ctl;

namespace {

Result<CommandLine> parse(std::vector<const char*> words) {
  words.insert(words.begin(), "netns-ctl");
  return parse_command_line(static_cast<int>(words.size()), words.data());
}

Options options(const std::vector<const char*>& words) {
  auto line = parse(words);
  REQUIRE(line);
  REQUIRE_FALSE(line->print);
  return line->options;
}

}  // namespace

TEST_CASE("each command with its words") {
  CHECK(options({"info"}).verb == Verb::info);
  CHECK(options({"stats"}).verb == Verb::stats);
  CHECK(options({"forward", "list"}).verb == Verb::forward_list);
  Options given = options({"forward", "add", "8080:80", "unix:/x:80", "reverse:1:2"});
  CHECK(given.verb == Verb::forward_add);
  CHECK(given.rules == std::vector<std::string>{"8080:80", "unix:/x:80", "reverse:1:2"});
  CHECK(options({"forward", "remove", "1", "7"}).ids == std::vector<std::uint64_t>{1, 7});
  CHECK(options({"forward", "replace", "--file", "-"}).file == "-");
  CHECK(options({"kill", "12"}).ids == std::vector<std::uint64_t>{12});
  CHECK(options({"flows", "--rule", "3"}).rule == std::uint64_t{3});
  CHECK(options({"events", "rule_added", "flow_closed"}).events.size() == 2);
  given = options({"top", "--interval", "0.25", "-n", "3"});
  CHECK(given.interval == std::chrono::milliseconds(250));
  CHECK(given.frames == 3);
}

TEST_CASE("options common to all stand before or behind the command") {
  for (const auto& words : std::vector<std::vector<const char*>>{{"--json", "-s", "/x", "forward", "list"},
                                                                 {"forward", "list", "--json", "--socket", "/x"},
                                                                 {"forward", "-s/x", "list", "--json"}}) {
    const Options given = options(words);
    CHECK(given.json);
    CHECK(given.socket == "/x");
    CHECK(given.verb == Verb::forward_list);
  }
  CHECK(options({"--pid", "12", "info"}).pid == std::int64_t{12});
}

TEST_CASE("what is wrong with a command line is said") {
  for (const auto& words : std::vector<std::vector<const char*>>{{},
                                                                 {"forward"},
                                                                 {"forward", "add"},
                                                                 {"forward", "remove"},
                                                                 {"forward", "remove", "x"},
                                                                 {"forward", "remove", "0"},
                                                                 {"forward", "replace"},
                                                                 {"forward", "replace", "80:80", "--file", "x"},
                                                                 {"kill"},
                                                                 {"kill", "-1"},
                                                                 {"list"},
                                                                 {"info", "more"},
                                                                 {"stats", "flows"},
                                                                 {"top", "--interval", "0"},
                                                                 {"top", "--interval", "1.2345"},
                                                                 {"top", "--interval", "-1"},
                                                                 {"top", "--interval", "3601"},
                                                                 {"top", "-n", "0"},
                                                                 {"--pid", "x", "info"},
                                                                 {"--pid", "1", "-s", "/x", "info"},
                                                                 {"-s", "", "info"}}) {
    std::string said;
    for (const char* word : words) said += std::string(word) + " ";
    CAPTURE(said);
    CHECK_FALSE(parse(words));
  }
}

TEST_CASE("help and version are printed") {
  CHECK(parse({"--help"})->print->find("forward") != std::string::npos);
  CHECK(parse({"top", "--help"})->print->find("--interval") != std::string::npos);
  CHECK(parse({"--version"})->print->starts_with("netns-ctl version "));
}

TEST_CASE("a file of rules is lines, an array, or what forward list printed") {
  CHECK(*rules_of_text("# web\n 8080:80 \r\n\n  127.0.0.1:53:53/udp\n") == R"(["8080:80","127.0.0.1:53:53/udp"])");
  CHECK(*rules_of_text("") == "[]");
  CHECK(*rules_of_text(" [\"1:2\", {\"host_port\": 80}]") == R"(["1:2",{"host_port":80}])");
  CHECK(*rules_of_text(R"({"return":{"rules":[{"id":1,"spec":{"host_port":"80"},"flows":0}]}})") ==
        R"([{"host_port":"80"}])");
  CHECK_FALSE(rules_of_text("[1,"));
  CHECK_FALSE(rules_of_text("{\"error\":{}}"));
}
