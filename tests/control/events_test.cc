// SPDX-License-Identifier: BSD-3-Clause
// Events: their lines, who gets them, and what becomes of those who do not read.
#include "src/base/limits.h"
#include "src/json/json_checked.h"
#include "tests/control/server_fixture.h"

using namespace nh;
using namespace nh::test;

namespace {

const std::string subscribe = "{\"execute\":\"events.subscribe\",\"id\":0}\n";
const std::string subscribe_rules =
    "{\"execute\":\"events.subscribe\",\"arguments\":{\"events\":[\"rule_removed\"]},\"id\":0}\n";

std::string name_of(const std::string& line) {
  const auto parsed = parse_checked(line);
  return parsed && parsed->contains("event") ? (*parsed)["event"].get<std::string>() : line;
}

/// As the data path does: much at once, without a turn of the loop.
void publish(Server& server, std::size_t times) {
  for (std::size_t i = 0; i < times; ++i) server.events.publish(FlowOpened{sample_flow(7)});
}

}  // namespace

TEST_CASE("each kind of event has its line") {
  const Instant now = ManualClock().now();
  RuleEntry rule;
  rule.id = 4;
  rule.spec = *RuleSpec::parse("8080:80");
  const auto head = [](const char* name) { return "{\"event\":\"" + std::string(name) + "\",\"time\":3600.0,\"data\":{"; };
  CHECK(line_of(RuleAdded{rule}, now).starts_with(head("rule_added") + "\"id\":4,\"text\":"));
  CHECK(line_of(RuleRemoved{.id = 4, .rule = "x"}, now) == head("rule_removed") + "\"id\":4,\"text\":\"x\"}}\n");
  CHECK(line_of(RuleFailed{.id = 4, .reason = "y"}, now) == head("rule_failed") + "\"id\":4,\"reason\":\"y\"}}\n");
  CHECK(line_of(FlowOpened{sample_flow(9)}, now).starts_with(head("flow_opened") + "\"id\":9,\"rule\":1,"));
  CHECK(line_of(FlowClosed{sample_flow(9), FlowEnd::reset_by_guest}, now).ends_with(",\"end\":\"reset_by_guest\"}}\n"));
  CHECK(line_of(PathChanged{.path = FlowPath::libslirp, .reason = "z"}, now) ==
        head("path_changed") + "\"direction\":\"in\",\"path\":\"libslirp\",\"reason\":\"z\"}}\n");
  CHECK(line_of(LimitReached{.limit = "relays", .value = 7}, now) ==
        head("limit_reached") + "\"limit\":\"relays\",\"value\":7}}\n");
}

TEST_CASE("without a subscriber no event is wanted, and the end of the last one ends the wish") {
  Server server;
  CHECK_FALSE(server.events.wanted());
  {
    UnixClient client(server.path);
    client.send(subscribe);
    CHECK(client.line(server.loop).ends_with("\"id\":0}\n"));
    CHECK(server.events.wanted());
    client.send("{\"execute\":\"events.subscribe\",\"arguments\":{\"events\":[]},\"id\":1}\n");
    CHECK(client.line(server.loop) == "{\"return\":{\"events\":[]},\"id\":1}\n");
    CHECK_FALSE(server.events.wanted());
    client.send(subscribe);
    CHECK(client.line(server.loop).ends_with("\"id\":0}\n"));
  }
  turn(server.loop);
  CHECK_FALSE(server.events.wanted());
  CHECK(server.events.subscribers() == 0);
}

TEST_CASE("a subscriber gets the events of its kinds, in order, and its replies between them") {
  Server server;
  UnixClient all(server.path), rules(server.path), none(server.path);
  all.send(subscribe);
  rules.send(subscribe_rules);
  CHECK(all.line(server.loop).ends_with("\"id\":0}\n"));
  CHECK(rules.line(server.loop).ends_with("\"id\":0}\n"));
  publish(server, 3);
  server.events.publish(RuleRemoved{.id = 1, .rule = "x"});
  for (int i = 0; i < 3; ++i) CHECK(name_of(all.line(server.loop)) == "flow_opened");
  CHECK(name_of(all.line(server.loop)) == "rule_removed");
  CHECK(name_of(rules.line(server.loop)) == "rule_removed");

  // Its own request makes an event, too.
  server.rules.events = &server.events;
  all.send("{\"execute\":\"forward.add\",\"arguments\":{\"host_port\":80},\"id\":7}\n");
  const std::string one = all.line(server.loop), other = all.line(server.loop);
  CHECK(((name_of(one) == "rule_added" && other.ends_with("\"id\":7}\n")) ||
         (name_of(other) == "rule_added" && one.ends_with("\"id\":7}\n"))));
  publish(server, 1000);
  for (int i = 0; i < 100; ++i) all.send("{\"execute\":\"stats\",\"id\":8}\n");
  int events = 0, replies = 0;
  for (int i = 0; i < 1100; ++i) {
    const std::string line = all.line(server.loop);
    REQUIRE(line.ends_with("\n"));
    (line.ends_with("\"id\":8}\n") ? replies : events) += 1;
  }
  CHECK(events == 1000);
  CHECK(replies == 100);
  turn(server.loop);
  none.take();
  CHECK(none.received().empty());
}

TEST_CASE("a subscriber has no idle time, half a request of its has") {
  Server server;
  UnixClient client(server.path);
  client.send(subscribe);
  client.line(server.loop);
  server.advance(std::chrono::hours(24));
  CHECK(server.server->clients() == 1);
  client.send("{\"execute\":");
  turn(server.loop);
  server.pass(limits::control_request_time);
  CHECK(client.all(server.loop).find("not complete within") != std::string::npos);
  CHECK(server.events.subscribers() == 0);
}

TEST_CASE("a subscriber that does not read is dropped, never waited for, and what waits is bounded") {
  Server server;
  UnixClient deaf(server.path), other(server.path);
  deaf.send(subscribe);
  other.send(subscribe_rules);
  turn(server.loop);
  const std::size_t line = line_of(FlowOpened{sample_flow(1)}, server.clock.now()).size();
  const std::size_t room = limits::control_events / line;
  publish(server, room - 10);
  CHECK(server.server->counters().events_sent == room - 10);
  CHECK(server.server->clients() == 2);
  publish(server, 2 * room);  // not a turn in between: nothing is destroyed in here
  REQUIRE(server.server->counters().events_sent <= room);
  CHECK(server.server->clients() == 2);
  turn(server.loop);
  CHECK(server.server->clients() == 1);
  CHECK(server.server->counters().events_ended == 1);
  CHECK(server.events.subscribers() == 1);
  CHECK(deaf.all(server.loop).find("(open)") == std::string::npos);
  server.events.publish(RuleRemoved{.id = 1, .rule = "x"});
  CHECK(other.line(server.loop).ends_with("\"id\":0}\n"));
  CHECK(name_of(other.line(server.loop)) == "rule_removed");
}

TEST_CASE("a subscriber that reads slowly but reads gets every event whole") {
  Server server;
  UnixClient slow(server.path);
  slow.send(subscribe);
  CHECK(slow.line(server.loop).ends_with("\"id\":0}\n"));
  std::size_t got = 0;
  for (int round = 0; round < 20; ++round) {
    publish(server, 1000);
    turn(server.loop, 3);
    for (int i = 0; i < 1000; ++i) got += name_of(slow.line(server.loop)) == "flow_opened" ? 1 : 0;
  }
  CHECK(got == 20'000);
  CHECK(server.server->counters().events_ended == 0);
}

TEST_CASE("events that wait for a reader do not make the loop spin, nor hold up its requests' order") {
  Server server;
  UnixClient deaf(server.path);
  deaf.send(subscribe);
  deaf.line(server.loop);
  publish(server, 2000);  // more than the socket takes
  turn(server.loop);
  deaf.send("{\"execute\":\"stats\",\"id\":5}\n");
  turn(server.loop);
  CHECK(server.server->counters().requests == 2);
  for (int i = 0; i < 2000; ++i) REQUIRE(name_of(deaf.line(server.loop)) == "flow_opened");
  CHECK(deaf.line(server.loop).ends_with("\"id\":5}\n"));
}

TEST_CASE("a subscriber that ends its side is let go") {
  Server server;
  UnixClient client(server.path);
  client.send(subscribe);
  client.line(server.loop);
  publish(server, 3);
  client.half_close();
  CHECK(client.all(server.loop).find("(open)") == std::string::npos);
  CHECK(server.events.subscribers() == 0);
  CHECK(server.server->clients() == 0);
}
