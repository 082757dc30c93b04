// SPDX-License-Identifier: BSD-3-Clause
// What people are shown of replies.
#include "tools/netns-ctl/show.h"

#include "tests/support/catch.h"
#include "tools/netns-ctl/reply.h"

using namespace nh;
using namespace nh::ctl;

namespace {

Json json(const std::string& text) {
  const auto parsed = Json::parse(text, nullptr, false);
  REQUIRE_FALSE(parsed.is_discarded());
  return parsed;
}

std::string listener(const std::string& host, int host_port, int guest_port, const std::string& more = "") {
  return R"({"proto":"tcp","host_addr":")" + host + R"(","host_port":)" + std::to_string(host_port) +
         R"(,"guest_addr":"10.0.2.100","guest_port":)" + std::to_string(guest_port) + R"(,"path":"relay","paused":false)" +
         more + "}";
}

std::string rule(int id, const std::string& listeners) {
  return "{\"id\":" + std::to_string(id) + R"(,"text":"auto:1-9","spec":{"kind":"forward"},"listeners":[)" + listeners +
         R"(],"flows":2,"flows_opened":5,"flows_failed":1,"bytes_to_guest":1024,"bytes_to_host":3145728})";
}

}  // namespace

TEST_CASE("rules: a range is one line, other sockets have their own, counters stand once") {
  const Json rules = json(
      "[" + rule(1, listener("0.0.0.0", 8001, 81) + "," + listener("0.0.0.0", 8000, 80) + "," + listener("::1", 8000, 80)) +
      "," + rule(12, listener("127.0.0.1", 22, 22, R"(,"reason":"no nf_tables")")) + "," + rule(13, "") + "]");
  CHECK(show_rules(rules, 0) ==
        "ID  KIND     PROTO  HOST               GUEST             PATH   FLOWS  OPENED  FAILED  TO GUEST  TO HOST  NOTE\n"
        " 1  forward  tcp    0.0.0.0:8000-8001  10.0.2.100:80-81  relay      2       5       1      1.0K     3.0M\n"
        "             tcp    [::1]:8000         10.0.2.100:80     relay\n"
        "12  forward  tcp    127.0.0.1:22       10.0.2.100:22     relay      2       5       1      1.0K     3.0M  no "
        "nf_tables\n"
        "13  forward         auto:1-9           -                 -          2       5       1      1.0K     3.0M  no "
        "listener at present\n");
  for (const std::size_t width : {1u, 5u, 20u, 60u, 80u}) {
    const std::string text = show_rules(rules, width);
    for (std::size_t begin = 0; begin < text.size();) {
      const auto end = text.find('\n', begin);
      CHECK(end - begin <= width);
      begin = end + 1;
    }
  }
}

TEST_CASE("flows and events name both ends") {
  const std::string flow =
      R"({"id":7,"rule":1,"proto":"tcp","path":"relay","direction":"in","state":"open","peer_addr":"192.0.2.7","peer_port":50123,)"
      R"("host_addr":"192.0.2.1","host_port":8080,"seen_addr":"10.0.2.2","seen_port":50123,"guest_addr":"10.0.2.100","guest_port":80,)"
      R"("age":65.5,"bytes_to_guest":1000,"bytes_to_host":2048)";
  CHECK(show_flows(json("[" + flow + "}]"), 0) ==
        "ID  RULE  PROTO  PATH   STATE    AGE  PEER             SEEN AS         HOST            GUEST          TO GUEST  TO "
        "HOST\n"
        " 7     1  tcp    relay  open   1m05s  192.0.2.7:50123  10.0.2.2:50123  192.0.2.1:8080  10.0.2.100:80      1.0K     "
        "2.0K\n");
  CHECK(show_event(json(R"({"event":"flow_closed","time":1.5,"data":)" + flow + R"(,"end":"closed"}})"), "12:00:00") ==
        "12:00:00  flow_closed   flow 7 tcp 192.0.2.7:50123 -> 10.0.2.100:80 relay rule 1 closed after 1m05s, 1.0K to "
        "guest, 2.0K to host");
  CHECK(show_event(json(R"({"event":"rule_failed","data":{"id":3,"reason":"in use"}})"), "t") ==
        "t  rule_failed   rule 3 in use");
  CHECK(show_event(json(R"({"event":"path_changed","data":{"path":"libslirp","reason":"agent lost"}})"), "t") ==
        "t  path_changed  path=libslirp reason=agent lost");
  CHECK(show_event(json(R"({"event":"something_new"})"), "t").starts_with("t  something_new"));
}

TEST_CASE("a reply of another version reads as far as it goes") {
  CHECK(show_rules(json("[{}]"), 0).find("no listener") != std::string::npos);
  CHECK_FALSE(show_flows(json("[{}]"), 0).empty());
  CHECK_FALSE(show_stats(json("{}"), 0).empty());
  CHECK_FALSE(parse_reply("[]"));
  CHECK_FALSE(parse_reply("{}"));
  CHECK(parse_reply(R"({"error":{"desc":"no"}})")->error == "no");
}
