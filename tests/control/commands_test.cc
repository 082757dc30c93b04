// SPDX-License-Identifier: BSD-3-Clause
// The exact shapes and texts of the answers, in both dialects.
#include "src/control/commands.h"

#include <cerrno>

#include "src/json/json_checked.h"
#include "tests/control/fake_rules.h"
#include "tests/support/catch.h"

using namespace nh;

namespace {

struct Native {
  test::FakeRules rules;
  ManualClock clock;
  Commands commands{test::backend(rules, clock), Dialect::native};
  std::string operator()(std::string_view request, bool lone = false) { return commands.answer(request, lone).text; }
};

struct Slirp4netns {
  test::FakeRules rules;
  ManualClock clock;
  Commands commands{test::backend(rules, clock), Dialect::slirp4netns};
  std::string operator()(std::string_view request) {
    const Reply reply = commands.answer(request, true);
    CHECK(reply.last);
    return reply.text;
  }
};

const std::string add_8080 = R"({"execute":"add_hostfwd","arguments":{"proto":"tcp","host_addr":"0.0.0.0")"
                             R"(,"host_port":8080,"guest_addr":"10.0.2.100","guest_port":80}})";

}  // namespace

TEST_CASE("slirp4netns's commands have slirp4netns's shapes") {
  Slirp4netns ask;
  CHECK(ask(add_8080) == R"({"return":{"id":1}})");
  const std::string entries =
      R"([{"id":1,"proto":"tcp","host_addr":"0.0.0.0","host_port":8080,"guest_addr":"10.0.2.100","guest_port":80}])";
  CHECK(ask(R"({"execute":"list_hostfwd"})") == R"({"return":{"entries":)" + entries + R"(},"entries":)" + entries + "}");
  CHECK(ask(R"({"execute":"remove_hostfwd","arguments":{"id":1}})") == R"({"return":{}})");
  CHECK(ask(R"({"execute":"list_hostfwd"})") == R"({"return":{"entries":[]},"entries":[]})");
  CHECK(ask(R"({"execute":"remove_hostfwd","arguments":{"id":1}})") ==
        R"({"error":{"desc":"bad request: remove_hostfwd: bad arguments.id"}})");
}

TEST_CASE("slirp4netns's errors have slirp4netns's texts") {
  Slirp4netns ask;
  const auto desc = [&](std::string_view request) {
    auto reply = parse_checked(ask(request));
    REQUIRE(reply);
    REQUIRE(reply->size() == 1);
    REQUIRE(reply->at("error").size() == 1);
    return reply->at("error").at("desc").get<std::string>();
  };
  const auto add = [&](std::string_view arguments) {
    return desc("{\"execute\":\"add_hostfwd\",\"arguments\":" + std::string(arguments) + "}");
  };
  CHECK(desc("{\"execute\":nul}") == "bad request: cannot parse JSON");
  CHECK(desc("{}") == "bad request: no execute found");
  CHECK(desc(R"({"execute":5})") == "bad request: no execute found");
  CHECK(desc(R"({"execute":"quit"})") == "bad request: unknown execute");
  CHECK(desc(R"({"execute":"add_hostfwd"})") == "bad request: add_hostfwd: bad arguments.proto");
  CHECK(desc(R"({"execute":"add_hostfwd","arguments":7})") == "bad request: add_hostfwd: bad arguments.proto");
  CHECK(desc(R"({"execute":"remove_hostfwd"})") == "bad request: remove_hostfwd: bad arguments.id");
  CHECK(add(R"({"host_port":1,"guest_port":1})") == "bad request: add_hostfwd: bad arguments.proto");
  CHECK(add(R"({"proto":"sctp","host_port":1,"guest_port":1})") == "bad request: add_hostfwd: bad arguments.proto");
  CHECK(add(R"({"proto":"tcp","host_addr":"::g","host_port":1,"guest_port":1})") ==
        "bad request: add_hostfwd: bad arguments.host_addr");
  CHECK(add(R"({"proto":"tcp","host_port":70080,"guest_port":1})") == "bad request: add_hostfwd: bad arguments.host_port");
  CHECK(add(R"({"proto":"tcp","host_port":1,"guest_addr":"x","guest_port":1})") ==
        "bad request: add_hostfwd: bad arguments.guest_addr");
  CHECK(add(R"({"proto":"tcp","host_port":1,"guest_port":"1"})") == "bad request: add_hostfwd: bad arguments.guest_port");
  ask.rules.failure = sys_error(EADDRINUSE, "listening");
  CHECK(add(R"({"proto":"tcp","host_port":1,"guest_port":1})") == "bad request: add_hostfwd: slirp_add_hostfwd failed");
  CHECK(ask.rules.entries.empty());

  CHECK(ask.commands.too_large().text == R"({"error":{"desc":"bad request: too large message"}})");
  CHECK(ask.commands.not_an_object(std::string(4096, '\0')).text == ask.commands.too_large().text);
  CHECK(ask.commands.not_an_object("[1]").text == R"({"error":{"desc":"bad request: json_object() failed"}})");
  CHECK(ask.commands.not_an_object("[1").text == R"({"error":{"desc":"bad request: cannot parse JSON"}})");
  CHECK(ask.commands.unfinished(true).text == R"({"error":{"desc":"bad request: cannot parse JSON"}})");
}

TEST_CASE("absent and empty addresses have slirp4netns's meaning") {
  for (const char* addresses : {"", R"("host_addr":"","guest_addr":"",)"}) {
    Native ask;
    ask("{\"execute\":\"add_hostfwd\",\"arguments\":{\"proto\":\"udp\"," + std::string(addresses) +
        "\"host_port\":53,\"guest_port\":54}}");
    REQUIRE(ask.rules.entries.size() == 1);
    const RuleSpec& spec = ask.rules.entries[0].spec;
    CHECK(spec.udp);
    CHECK_FALSE(spec.tcp);
    CHECK(spec.host_address == Address::any(Family::v4));
    CHECK_FALSE(spec.guest_address);
    CHECK(ports_text(spec.host_ports) == "53");
    CHECK(ports_text(spec.guest_ports) == "54");
  }
  Slirp4netns like_podman;
  like_podman(R"({"execute":"add_hostfwd","arguments":{"proto":"tcp","host_addr":null)"
              R"(,"host_port":1,"guest_addr":"0.0.0.0","guest_port":1}})");
  REQUIRE(like_podman.rules.entries.size() == 1);
  CHECK_FALSE(like_podman.rules.entries[0].spec.guest_address);
}

TEST_CASE("what slirp4netns refuses for no reason works: IPv6 addresses, and port 0, which is told") {
  Slirp4netns ask;
  CHECK(
      ask(R"({"execute":"add_hostfwd","arguments":{"proto":"tcp","host_addr":"::1","host_port":8080,"guest_addr":"fd00::100","guest_port":80}})") ==
      R"({"return":{"id":1}})");
  REQUIRE(ask.rules.entries.size() == 1);
  CHECK(ask.rules.entries[0].spec.host_address == Address::loopback(Family::v6));
  const std::string reply = ask(R"({"execute":"add_hostfwd","arguments":{"proto":"udp","host_port":0,"guest_port":80}})");
  CHECK(reply.starts_with(R"({"return":{"id":2,"host_port":)"));
}

TEST_CASE("slirp4netns ignores what it does not know") {
  Slirp4netns ask;
  CHECK(
      ask(R"({"execute":"add_hostfwd","id":"x","more":1,"arguments":{"proto":"tcp","x":1,"host_port":1,"guest_port":1}})") ==
      R"({"return":{"id":1}})");
}

TEST_CASE("a native reply is one line with the request's id, whatever that is") {
  Native ask;
  for (const char* id : {"7", "\"x\"", "null", "[1,{\"a\":[]}]", "{}", "-1.5", "\"\\n\""}) {
    CAPTURE(id);
    const std::string reply = ask("{\"execute\":\"list_hostfwd\",\"id\":" + std::string(id) + "}");
    CHECK(reply == "{\"return\":{\"entries\":[]},\"id\":" + std::string(id) + "}\n");
    CHECK(reply.find('\n') == reply.size() - 1);
  }
  CHECK(ask(R"({"execute":"x","id":5})").ends_with("\"field\":\"execute\"},\"id\":5}\n"));
}

TEST_CASE("a native error has a code, slirp4netns's words with the rule, and the field") {
  Native ask;
  CHECK(ask(R"({"execute":"add_hostfwd","arguments":{"proto":"tcp","host_port":70080,"guest_port":80},"id":1})") ==
        R"({"error":{"code":"invalid","desc":"bad request: add_hostfwd: bad arguments.host_port:)"
        R"( must be an integer from 0 to 65535, not 70080","field":"host_port"},"id":1})"
        "\n");
  ask.rules.failure = sys_error(EADDRINUSE, "listening on 0.0.0.0:80/tcp");
  CHECK(ask(R"({"execute":"add_hostfwd","arguments":{"proto":"tcp","host_port":80,"guest_port":80}})") ==
        R"~({"error":{"code":"in_use","desc":"bad request: add_hostfwd: )~"
        R"~(slirp_add_hostfwd failed: listening on 0.0.0.0:80/tcp: )~"
        R"~(Address already in use (EADDRINUSE)","field":"host_port"}})~"
        "\n");
  ask.rules.failure = Error{.code = Code::missing, .what = "no such address", .field = "host_addr"};
  CHECK(ask(R"({"execute":"add_hostfwd","arguments":{"proto":"tcp","host_port":80,"guest_port":80}})")
            .find("\"field\":\"host_addr\"") != std::string::npos);
  CHECK(ask(R"({"execute":"remove_hostfwd","arguments":{"id":9}})") ==
        R"({"error":{"code":"missing","desc":"bad request: remove_hostfwd: )"
        R"(bad arguments.id: there is no forward 9","field":"id"}})"
        "\n");
}

TEST_CASE("a first native request that looks like slirp4netns's is answered like slirp4netns's") {
  Native ask;
  const Reply added = ask.commands.answer(add_8080, true);
  CHECK(added.text == R"({"return":{"id":1}})");
  CHECK(added.last);
  const Reply refused = ask.commands.answer(R"({"execute":"remove_hostfwd","arguments":{}})", true);
  CHECK(refused.text ==
        R"({"error":{"desc":"bad request: remove_hostfwd: bad arguments.id: is missing","code":"invalid","field":"id"}})");
  CHECK(refused.last);
  CHECK(refused.refused);

  // With a newline after it, with an id, or another command: natively.
  CHECK(ask.commands.answer(R"({"execute":"list_hostfwd"})", false).text.back() == '\n');
  CHECK_FALSE(ask.commands.answer(R"({"execute":"list_hostfwd","id":1})", true).last);
  CHECK_FALSE(ask.commands.answer(R"({"execute":"info"})", true).last);
}

TEST_CASE("a list without an id has entries in both places, with an id in one") {
  Native ask;
  CHECK(ask(R"({"execute":"list_hostfwd"})") == "{\"return\":{\"entries\":[]},\"entries\":[]}\n");
  CHECK(ask(R"({"execute":"list_hostfwd","id":1})") == "{\"return\":{\"entries\":[]},\"id\":1}\n");
}

TEST_CASE("natively IPv6 is carried, and port 0 tells the port that was chosen") {
  Native ask;
  CHECK(ask(R"({"execute":"add_hostfwd","arguments":{"proto":"tcp","host_addr":"::")"
            R"(,"host_port":0,"guest_addr":"fd00::100","guest_port":80}})") ==
        "{\"return\":{\"id\":1,\"host_port\":40000}}\n");
  CHECK(ask(R"({"execute":"list_hostfwd","id":0})") ==
        R"({"return":{"entries":[{"id":1,"proto":"tcp","host_addr":"::")"
        R"(,"host_port":40000,"guest_addr":"fd00::100","guest_port":80}]},"id":0})"
        "\n");
}

TEST_CASE("natively unknown members are refused by name, and nothing is done") {
  Native ask;
  const auto field = [&](std::string_view request) {
    auto reply = parse_checked(ask(request));
    REQUIRE(reply);
    REQUIRE(reply->contains("error"));
    return reply->at("error").at("field").get<std::string>();
  };
  CHECK(field(R"({"execute":"add_hostfwd","arguments":{"proto":"tcp","host_prot":1,"host_port":1,"guest_port":1}})") ==
        "host_prot");
  CHECK(field(R"({"execute":"list_hostfwd","arguments":{"all":true}})") == "all");
  CHECK(field(R"({"execute":"list_hostfwd","argument":{}})") == "argument");
  CHECK(field(R"({"execute":"list_hostfwd","arguments":[]})") == "arguments");
  CHECK(ask.rules.entries.empty());
}

TEST_CASE("info shows everything, counters nested by their dots") {
  Native ask;
  auto reply = parse_checked(ask(R"({"execute":"info"})"));
  REQUIRE(reply);
  CHECK(
      text_of(reply->at("return")) ==
      R"({"version":"1.2.3","libslirp":{"version":"4.7.0","config_version":4,"known_bad":["CVE-2000-0001"]},)"
      R"("pid":42,"agent_pid":43,"target":{"kind":"pid","text":"1234"},)"
      R"("tap":{"name":"tap0","mac":"02:00:00:00:00:01","mtu":1500,"offload":true},)"
      R"("addresses":{"ipv4":{"network":"10.0.2.0/24","gateway":"10.0.2.2","dns":"10.0.2.3",)"
      R"("guest":"10.0.2.100"},"ipv6":null},)"
      R"("tap_addresses":["10.0.2.100","fd00::100"],"mtu":1500,"dns":{"resolvers":["192.0.2.1"]},"limits":{"flows":1000},)"
      R"("counters":{"guard":{"drops":{"arp_spoofed":7,"tftp":0}},"tap":{"frames_in":9}},)"
      R"("kernel_path":{"wanted":"","ipv4":false,"ipv6":false,"reason":"the guest is being prepared"},"confinement":{"sandbox":false,"seccomp":false,"notes":[]},"notes":["no kernel path"]})");
}
