// SPDX-License-Identifier: BSD-3-Clause
// The exact shapes of the answers about rules, flows and counters.
#include "src/base/limits.h"
#include "src/control/commands.h"
#include "src/control/rules_json.h"
#include "src/json/json_checked.h"
#include "tests/control/fake_rules.h"
#include "tests/support/catch.h"

using namespace nh;

namespace {

struct Ask {
  test::FakeRules rules;
  ManualClock clock;
  Commands commands{test::backend(rules, clock), Dialect::native};
  Json operator()(const std::string& name, const std::string& arguments = "{}") {
    const Reply reply = commands.answer("{\"execute\":\"" + name + "\",\"arguments\":" + arguments + "}", false);
    auto parsed = parse_checked(reply.text, {.values = 1'000'000});
    REQUIRE(parsed);
    return std::move(*parsed);
  }
};

const std::string rule_one =
    R"({"id":1,"text":"127.0.0.1:8080:80","spec":{"kind":"forward","proto":"tcp","host_port":"8080","guest_port":"80"},)"
    R"("listeners":[{"proto":"tcp","host_addr":"127.0.0.1","host_port":8080,"guest_addr":"10.0.2.100","guest_port":80,)"
    R"("path":"relay","paused":false}],"flows":0,"flows_opened":0,"flows_failed":0,"bytes_to_guest":0,"bytes_to_host":0})";

}  // namespace

TEST_CASE("a rule is added by its text, by its members and by both, and told in full") {
  Ask ask;
  Json added = ask("forward.add", R"({"rules":["8080:80"]})")["return"];
  REQUIRE(added["rules"].size() == 1);
  added["rules"][0]["text"] = "127.0.0.1:8080:80";  // however text() writes the default
  CHECK(text_of(added["rules"][0]) == rule_one);
  CHECK(ask("forward.add", R"({"host_port":8080,"guest_port":80})")["return"]["rules"][0]["id"] == 2);
  CHECK(ask.rules.entries[0].spec == ask.rules.entries[1].spec);
  CHECK(
      ask("forward.add", R"({"rules":["8081:81/udp",{"host_port":"8080","guest_port":"80"}]})")["return"]["rules"].size() ==
      2);
  CHECK(ask.rules.entries[2].spec.udp);
  CHECK(ask.rules.entries[3].spec == ask.rules.entries[0].spec);
  CHECK(ask("forward.add", R"({"rules":[]})")["return"]["rules"].empty());
  CHECK(ask("forward.list")["return"]["rules"].size() == 4);
}

TEST_CASE("the spec that is told is the spec that was given, for every kind") {
  for (const char* text :
       {"8080:80", "192.0.2.1:8000-8010:9000-9010/udp", "[::1]:80,443,8000-8010:80,443,8000-8010/both", "%eth0:80:8080",
        "0:[fd00::100]:22", "unix:/run/x.sock:10.0.2.100:80", "fd:web:80", "auto", "auto:1024-2000:!1500/both",
        "reverse:5432:127.0.0.1:5432", "reverse:10.0.2.100:53:192.0.2.1:53/udp", "reverse:3306:unix:/run/mysql.sock"}) {
    CAPTURE(text);
    const auto spec = RuleSpec::parse(text);
    REQUIRE(spec);
    const auto again = rule_of(json_of(*spec), "");
    REQUIRE(again);
    CHECK(*again == *spec);
    const auto by_text = rule_of(spec->text(), "");
    REQUIRE(by_text);
    CHECK(*by_text == *spec);
  }
}

TEST_CASE("two hundred rules go in one request, as objects and as strings, and all that there can be as strings") {
  std::string objects, texts;
  for (int i = 0; i < 200; ++i)
    objects += std::string(i > 0 ? "," : "") + R"({"kind":"forward","proto":"tcp","host_addr":"127.0.0.1","host_port":)" +
               std::to_string(10000 + i) + R"(,"guest_addr":"10.0.2.100","guest_port":80})";
  Ask ask;
  CHECK(ask("forward.add", "{\"rules\":[" + objects + "]}")["return"]["rules"].size() == 200);
  for (std::size_t i = 0; i < limits::forwards; ++i)
    texts += std::string(i > 0 ? "," : "") + "\"192.168.100.200:" + std::to_string(10000 + i) +
             ":10.0.2.100:" + std::to_string(10000 + i) + "/udp\"";
  CHECK(texts.size() + 100 < ask.commands.max_request());
  CHECK(ask("forward.replace", "{\"rules\":[" + texts + "]}")["return"]["rules"].size() == limits::forwards);
}

TEST_CASE("a replacement keeps what stays") {
  Ask ask;
  ask("forward.add", R"({"rules":["8080:80","8081:81"]})");
  const Json rules = ask("forward.replace", R"({"rules":["8082:82","8081:81"]})")["return"]["rules"];
  REQUIRE(rules.size() == 2);
  CHECK(rules[0]["id"] == 2);
  CHECK(rules[1]["id"] == 3);
  CHECK(ask("forward.replace", R"({"rules":[]})")["return"]["rules"].empty());
}

TEST_CASE("rules are removed by id or by ids, all or none") {
  Ask ask;
  ask("forward.add", R"({"rules":["8080:80","8081:81","8082:82"]})");
  CHECK(ask("forward.remove", R"({"ids":[1,9]})")["error"]["code"] == "missing");
  CHECK(ask.rules.entries.size() == 3);
  CHECK(text_of(ask("forward.remove", R"({"id":2})")) == R"({"return":{}})");
  CHECK(text_of(ask("forward.remove", R"({"ids":[3,1]})")) == R"({"return":{}})");
  CHECK(ask.rules.entries.empty());
}

TEST_CASE("what the owner of the rules refuses names the rule") {
  Ask ask;
  ask.rules.failure =
      Error{.code = Code::in_use, .sys_errno = 98, .what = "listening on 127.0.0.1:80", .field = "rules[1].host_port"};
  CHECK(text_of(ask("forward.add", R"({"rules":["81:80","80:80"]})")) ==
        R"~({"error":{"code":"in_use","desc":"bad request: forward.add: failed at rules[1].host_port: )~"
        R"~(listening on 127.0.0.1:80: Address already in use (EADDRINUSE)","field":"rules[1].host_port"}})~");
  ask.rules.failure->field = "host_port";
  CHECK(ask("forward.add", R"({"rules":["80:80"]})")["error"]["field"] == "rules[0].host_port");
  CHECK(ask("forward.add", R"({"host_port":80})")["error"]["field"] == "host_port");
  CHECK(ask("forward.replace", R"({"rules":["80:80"]})")["error"]["field"] == "rules[0].host_port");
}

TEST_CASE("flows are listed by pages and by rule, and killed") {
  Ask ask;
  for (std::uint64_t id = 1; id <= 5; ++id) ask.rules.flow_records.push_back(test::sample_flow(id, id % 2 + 1));
  Json page = ask("flow.list", R"({"limit":2})")["return"];
  REQUIRE(page["flows"].size() == 2);
  CHECK(
      text_of(page["flows"][0]) ==
      R"({"id":1,"rule":2,"proto":"tcp","path":"relay","direction":"in","state":"open","peer_addr":"192.0.2.7","peer_port":50123,)"
      R"("host_addr":"192.0.2.1","host_port":8080,"seen_addr":"192.0.2.7","seen_port":50123,"guest_addr":"10.0.2.100",)"
      R"("guest_port":80,"age":12.5,"bytes_to_guest":1000,"bytes_to_host":5000000})");
  CHECK(page["next"] == 2);
  page = ask("flow.list", R"({"after":4,"limit":2})")["return"];
  CHECK(page["flows"].size() == 1);
  CHECK(page["next"].is_null());
  CHECK(ask("flow.list", R"({"rule":2})")["return"]["flows"].size() == 3);
  CHECK(text_of(ask("flow.kill", R"({"id":3})")) == R"({"return":{}})");
  CHECK(ask("flow.kill", R"({"id":3})")["error"]["code"] == "missing");
}

TEST_CASE("a Unix socket's end has no address") {
  Ask ask;
  FlowRecord flow = test::sample_flow(1, 0);
  flow.host_peer.port = 0;
  ask.rules.flow_records = {flow};
  const Json told = ask("flow.list")["return"]["flows"][0];
  CHECK(told["peer_addr"].is_null());
  CHECK(told["peer_port"].is_null());
  CHECK(told["rule"].is_null());
}

TEST_CASE("stats has totals, rules, limits and turns") {
  Ask ask;
  ask("forward.add", R"({"rules":["8080:80"]})");
  CHECK(
      text_of(ask("stats")["return"]) ==
      R"({"time":3600.0,"uptime":60.0,"bytes_to_guest":1000,"bytes_to_host":5000000,"flows":{"now":{"relay":2,"frames":0,)"
      R"("libslirp":0},"opened":{"relay":5,"frames":0,"libslirp":0},"ended":{"closed":3,"reset_by_host":0,"reset_by_guest":0,)"
      R"("refused":0,"unreachable":0,"timed_out":0,"killed":0,"exhausted":0,"failed":0}},"rules":[{"id":1,"flows":0,)"
      R"("flows_opened":0,"flows_failed":0,"bytes_to_guest":0,"bytes_to_host":0}],"limits":{"forwards":{"used":1,"limit":4096}},)"
      R"("kernel_path":{"ipv4":false,"ipv6":false},"loop":{"turns":77}})");
}

TEST_CASE("a subscription is part of the reply, under slirp4netns's name there is none") {
  Ask ask;
  Reply reply = ask.commands.answer(R"({"execute":"events.subscribe"})", false);
  REQUIRE(reply.subscribe);
  CHECK(reply.subscribe->all());
  reply = ask.commands.answer(R"({"execute":"events.subscribe","arguments":{"events":["flow_closed"]}})", false);
  CHECK(reply.text == "{\"return\":{\"events\":[\"flow_closed\"]}}\n");
  REQUIRE(reply.subscribe);
  CHECK(reply.subscribe->count() == 1);
  reply = ask.commands.answer(R"({"execute":"events.subscribe","arguments":{"events":[]}})", false);
  REQUIRE(reply.subscribe);
  CHECK(reply.subscribe->none());
  const Commands old(test::backend(ask.rules, ask.clock), Dialect::slirp4netns);
  CHECK(old.answer(R"({"execute":"events.subscribe"})", true).refused);
}

TEST_CASE("slirp4netns's list has each port that leads into the guest") {
  Ask ask;
  ask("forward.add", R"({"rules":["80,81:80,81","reverse:5432:127.0.0.1:5432","unix:/run/x:80"]})");
  CHECK(ask("list_hostfwd")["return"]["entries"].size() == 2);
}
