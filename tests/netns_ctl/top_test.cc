// SPDX-License-Identifier: BSD-3-Clause
// What `top` knows and draws, at any size.
#include <algorithm>

#include "tests/support/catch.h"
#include "tools/netns-ctl/top_view.h"

using namespace nh;
using namespace nh::ctl;

namespace {

Json stats(double time, std::uint64_t bytes) {
  return Json{
      {"time", time},
      {"uptime", time},
      {"bytes_to_guest", bytes},
      {"bytes_to_host", 0},
      {"flows", {{"now", {{"relay", 3}, {"frames", 1}}}, {"opened", {{"relay", static_cast<std::uint64_t>(time) * 10}}}}}};
}

Json rules(std::size_t count, std::uint64_t bytes) {
  Json all = Json::array();
  for (std::size_t i = 0; i < count; ++i) {
    Json listener{{"proto", "tcp"},       {"host_addr", "0.0.0.0"}, {"host_port", 8000 + i}, {"guest_addr", "10.0.2.100"},
                  {"guest_port", 80 + i}, {"path", "relay"},        {"paused", false}};
    all.push_back(
        Json{{"id", i + 1}, {"listeners", Json::array({listener})}, {"flows", 1}, {"bytes_to_guest", bytes * (i + 1)}});
  }
  return Json{{"rules", std::move(all)}};
}

Json flows(std::size_t count, std::uint64_t bytes) {
  Json all = Json::array();
  for (std::size_t i = 0; i < count; ++i)
    all.push_back(Json{{"id", i + 1},
                       {"rule", 1},
                       {"proto", "tcp"},
                       {"path", "relay"},
                       {"state", "open"},
                       {"peer_addr", "192.0.2.7"},
                       {"peer_port", 50000 + i},
                       {"guest_addr", "10.0.2.100"},
                       {"guest_port", 80},
                       {"age", 100 - static_cast<int>(i)},
                       {"bytes_to_guest", 1000 - i * 100},
                       {"bytes_to_host", bytes * i}});
  return Json{{"flows", std::move(all)}};
}

TopState two_updates(std::size_t rule_count, std::size_t flow_count) {
  TopState state;
  state.update(stats(10, 0), rules(rule_count, 0), {flows(flow_count, 0)}, false);
  state.update(stats(12, 4096), rules(rule_count, 2048), {flows(flow_count, 1024)}, false);
  return state;
}

}  // namespace

TEST_CASE("rates come from two updates and the time between them") {
  TopState state;
  state.update(stats(10, 1'000'000), rules(1, 500), {flows(1, 500)}, false);
  CHECK_FALSE(state.has_rates());
  CHECK(state.total().guest_rate == 0);
  state.update(stats(12, 1'004'096), rules(1, 2548), {flows(2, 500)}, false);
  CHECK(state.has_rates());
  CHECK(state.total().guest_rate == 2048);
  CHECK(state.rules()[0].traffic.guest_rate == 1024);
  CHECK(state.opened_rate() == 10);
  CHECK(state.flows_now() == 4);
  // A flow that was not there before has all its bytes from now.
  CHECK(state.flows(TopOrder::rate)[0].id == 2);
  CHECK(state.flows(TopOrder::rate)[0].traffic.rate() == (900 + 500) / 2.0);
  // A helper that was started again: nothing is negative.
  state.update(stats(13, 10), rules(1, 1), {flows(1, 1)}, false);
  CHECK(state.total().guest_rate == 0);
}

TEST_CASE("rules are in the order of their rate, flows in the one that was chosen") {
  const TopState state = two_updates(3, 3);
  CHECK(state.rules()[0].id == 3);
  CHECK(state.flows(TopOrder::rate)[0].id == 3);
  CHECK(state.flows(TopOrder::bytes)[0].id == 3);
  CHECK(state.flows(TopOrder::age)[0].id == 1);
}

TEST_CASE("the picture") {
  std::string text;
  for (const std::string& line : draw_top(two_updates(2, 2), TopOrder::rate, {100, 24})) text += line + "\n";
  CHECK(text ==
        "netns-helper up 12s   to guest 2.0K/s (4.0K)   to host 0/s (0)\n"
        "flows 4 (3 relay, 1 frames)   new 10/s\n"
        "\n"
        "RULE  HOST          GUEST          PATH   FLOWS  FAILED  TO GUEST  TO HOST  BYTES\n"
        "   2  0.0.0.0:8001  10.0.2.100:81  relay      1       0    2.0K/s      0/s   4.0K\n"
        "   1  0.0.0.0:8000  10.0.2.100:80  relay      1       0    1.0K/s      0/s   2.0K\n"
        "\n"
        "FLOW  RULE  PROTO  PATH   PEER             GUEST            AGE  TO GUEST  TO HOST  BYTES\n"
        "   2     1  tcp    relay  192.0.2.7:50001  10.0.2.100:80  1m39s       0/s    512/s   1.9K\n"
        "   1     1  tcp    relay  192.0.2.7:50000  10.0.2.100:80  1m40s       0/s      0/s   1.0K\n"
        "sorted by rate; r rate, b bytes, a age, q quit\n");
}

TEST_CASE("any size is kept, 1x1 included") {
  const TopState states[] = {TopState(), two_updates(0, 0), two_updates(1, 50), two_updates(50, 1), two_updates(50, 50)};
  for (const TopState& state : states)
    for (const std::size_t columns : {1u, 2u, 3u, 7u, 20u, 40u, 80u, 200u})
      for (std::size_t rows = 1; rows < 60; rows += rows < 15 ? 1 : 9) {
        const ScreenSize size{columns, rows};
        const auto lines = draw_top(state, TopOrder::rate, size);
        CHECK(lines.size() <= rows);
        CHECK_FALSE(lines.empty());
        for (const std::string& line : lines) {
          CHECK(line.size() <= columns);
          CHECK(std::all_of(line.begin(), line.end(), [](char c) { return c >= ' ' && c <= '~'; }));
        }
        // As many line ends as lie between rows: the terminal never scrolls.
        const std::string frame = terminal_frame(lines, size);
        CHECK(std::count(frame.begin(), frame.end(), '\n') <
              static_cast<std::ptrdiff_t>(rows) + (lines.size() == rows ? 0 : 1));
      }
}

TEST_CASE("what does not fit is counted") {
  const auto lines = draw_top(two_updates(50, 50), TopOrder::bytes, {80, 24});
  CHECK(lines.size() == 24);
  CHECK(lines.back() == "sorted by bytes; r rate, b bytes, a age, q quit; 45 more rules; 38 more flows");
}

TEST_CASE("a frame erases only behind what it has written") {
  CHECK(terminal_frame({"ab", "abc"}, {3, 3}) == "\x1b[Hab\x1b[K\r\nabc\r\n\x1b[J");
  CHECK(terminal_frame({"a"}, {1, 1}) == "\x1b[Ha");
}
