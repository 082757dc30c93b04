// SPDX-License-Identifier: BSD-3-Clause
// Longer than most: a list of requests, each wrong in one way.
#include "tests/control/malformed_requests.h"

#include <map>
#include <span>

namespace nh::test {
namespace {

// The tables are plain arrays: a sanitizer build of some hundred std::string constructors takes a
// gigabyte.

using Members = std::map<std::string, std::string>;  // name -> JSON text

std::string object(const Members& members) {
  std::string text;
  for (const auto& [name, value] : members) text += (text.empty() ? "" : ",") + ("\"" + name + "\":" + value);
  return "{" + text + "}";
}

std::string command(const std::string& name, const Members& arguments) {
  return object({{"execute", "\"" + name + "\""}, {"arguments", object(arguments)}});
}

const Members good_forward{{"proto", "\"tcp\""},
                           {"host_addr", "\"127.0.0.1\""},
                           {"host_port", "8080"},
                           {"guest_addr", "\"10.0.2.100\""},
                           {"guest_port", "80"}};

Members with(Members members, const std::string& name, const std::string& value) {
  members[name] = value;
  return members;
}

Members without(Members members, const std::string& name) {
  members.erase(name);
  return members;
}

std::string repeat(const std::string& text, std::size_t times) {
  std::string all;
  for (std::size_t i = 0; i < times; ++i) all += text;
  return all;
}

constexpr const char* no_strings[] = {"null", "true", "false", "0",         "1",         "-1",   "1.5",
                                      "1e3",  "[]",   "{}",    "[\"tcp\"]", "{\"a\":1}", "[[]]", "18446744073709551616"};
constexpr const char* no_integers[] = {"null",
                                       "true",
                                       "false",
                                       "\"\"",
                                       "\"80\"",
                                       "\"0x50\"",
                                       "80.0",
                                       "80.5",
                                       "8e1",
                                       "8E1",
                                       "1e9",
                                       "0.8e2",
                                       "-0",
                                       "-0.0",
                                       "-1",
                                       "-80",
                                       "[]",
                                       "[80]",
                                       "{}",
                                       "{\"a\":80}",
                                       "1e300",
                                       "18446744073709551616",
                                       "99999999999999999999999999",
                                       "-9223372036854775809"};
constexpr const char* no_ports[] = {
    "65536", "65537", "70000", "70080", "131152", "4294967376", "4294967295", "9223372036854775807", "18446744073709551615"};
constexpr const char* no_addresses[] = {"\" \"",
                                        "\"localhost\"",
                                        "\"10.0.2\"",
                                        "\"10.0.2.\"",
                                        "\"10.0.2.256\"",
                                        "\"10.0.2.100 \"",
                                        "\" 10.0.2.100\"",
                                        "\"010.0.2.1\"",
                                        "\"0x0a.0.2.1\"",
                                        "\"10.0.2.100/24\"",
                                        "\"10.0.2.100:80\"",
                                        "\"167772161\"",
                                        "\"[::1]\"",
                                        "\"::1%lo\"",
                                        "\"fe80::1%1\"",
                                        "\":::\"",
                                        "\"1::2::3\"",
                                        "\"12345::\"",
                                        "\"::ffff:1.2.3\"",
                                        "\"10.0.2.100\\u0000\"",
                                        "\"\\u0000\"",
                                        "\"10.0.2.100\\n\"",
                                        "\"*\"",
                                        "\"-1.0.0.1\"",
                                        "\"10,0,2,1\"",
                                        "\"\\u0661.0.0.1\"",
                                        "\"1.2.3.4.5\"",
                                        "\"::g\"",
                                        "\"/run/x\"",
                                        "\"10.0.2.1\\/24\"",
                                        "\"a\"",
                                        "\"tcp\"",
                                        "\"1\"",
                                        "\"...\""};
constexpr const char* no_protos[] = {"\"\"",     "\"TCP\"",  "\"Tcp\"",        "\" tcp\"",           "\"tcp \"",
                                     "\"tcp4\"", "\"tcp6\"", "\"udp6\"",       "\"sctp\"",           "\"icmp\"",
                                     "\"unix\"", "\"6\"",    "\"tcp\\u0000\"", "\"\\ud83d\\ude00\"", "\"t\\tcp\""};

// Inside {"execute":"info","id":HERE}: none of these is a JSON value.
constexpr const char* no_values[] = {"nul",
                                     "NULL",
                                     "True",
                                     "TRUE",
                                     "undefined",
                                     "NaN",
                                     "Infinity",
                                     "-Infinity",
                                     "+1",
                                     "01",
                                     "-01",
                                     "1.",
                                     ".5",
                                     "-",
                                     "--1",
                                     "1e",
                                     "1e+",
                                     "0x10",
                                     "0b1",
                                     "1_000",
                                     "1 2",
                                     "'a'",
                                     "`a`",
                                     "\"\\x41\"",
                                     "\"\\u12\"",
                                     "\"\\u12g4\"",
                                     "\"\\ud800\"",
                                     "\"\\udc00\"",
                                     "\"\\ud800\\ud800\"",
                                     "\"\\ud800x\"",
                                     "\"a\tb\"",
                                     "\"a\nb\"",
                                     "\"a\x01\"",
                                     "\"\\\n\"",
                                     "\"\\ \"",
                                     "\"\\a\"",
                                     "\"\\0\"",
                                     "[1,]",
                                     "[,1]",
                                     "[1 2]",
                                     "[1,,2]",
                                     "[:]",
                                     "{\"a\"}",
                                     "{\"a\":}",
                                     "{:1}",
                                     "{1:2}",
                                     "{a:1}",
                                     "{'a':1}",
                                     "{null:1}",
                                     "{\"a\":1,}",
                                     "{,}",
                                     "{\"a\" 1}",
                                     "{\"a\"::1}",
                                     "{\"a\":1 \"b\":2}",
                                     "// c\n1",
                                     "/* c */ 1",
                                     "# c\n1",
                                     "1;",
                                     "(1)",
                                     "<1>",
                                     "",
                                     " ",
                                     ",",
                                     ":",
                                     "1e999",
                                     "-1e999",
                                     "\"\xff\"",
                                     "\"\xc0\x80\"",
                                     "\"\xed\xa0\x80\"",
                                     "\"\xf4\x90\x80\x80\"",
                                     "\"\xe2\x82\"",
                                     "\"\x80\"",
                                     "\"\xc3\"",
                                     "\"\xf8\x88\x80\x80\x80\"",
                                     "\xff",
                                     "\xc3\xa9",
                                     "\x7f",
                                     "*",
                                     "\\",
                                     "t",
                                     "f",
                                     "n",
                                     "tru",
                                     "nulll",
                                     "truefalse"};

// Where an object should begin.
constexpr const char* no_objects[] = {"x",
                                      "null",
                                      "true",
                                      "0",
                                      "-1",
                                      "1.5",
                                      "\"\"",
                                      "\"add_hostfwd\"",
                                      "[]",
                                      "[{}]",
                                      "}",
                                      "]",
                                      ",",
                                      ":",
                                      "execute",
                                      "GET / HTTP/1.1\r\n\r\n",
                                      "\xef\xbb\xbf{}",
                                      "\xff",
                                      "\x7f",
                                      "'",
                                      "(",
                                      "<a/>",
                                      "#{}",
                                      "//{}",
                                      "\\",
                                      "*",
                                      "- {}",
                                      "\x16\x03\x01"};

constexpr const char* no_commands[] = {"\"\"",
                                       "\"ADD_HOSTFWD\"",
                                       "\"add_hostfwd \"",
                                       "\" add_hostfwd\"",
                                       "\"add-hostfwd\"",
                                       "\"hostfwd_add\"",
                                       "\"quit\"",
                                       "\"help\"",
                                       "\"list\"",
                                       "\"info\\u0000\"",
                                       "\"\\u0000\"",
                                       "\"add_hostfwd\\n\"",
                                       "\"__proto__\"",
                                       "\"%s%s%n\"",
                                       "\"../info\"",
                                       "\"\xc3\xa9\"",
                                       "\"inf\"",
                                       "\"infoo\"",
                                       "\"qmp_capabilities\""};

}  // namespace

namespace {

/// The native commands: rules, flows, events.
void rule_commands(std::vector<Malformed>& all) {
  const auto rules = [](const std::string& rule) { return "[\"8080:80\"," + rule + "]"; };
  for (const char* name : {"forward.add", "forward.replace"}) {
    const std::string execute(name);
    all.push_back({command(execute, {}), "rules", "bad arguments.rules: is missing"});
    for (const std::string value : {"null", "true", "1", "\"8080:80\"", "{}"})
      all.push_back({command(execute, {{"rules", value}}), "rules", "must be an array"});
    for (const std::string value : {"null", "true", "1", "[]", "[\"8080:80\"]"})
      all.push_back({command(execute, {{"rules", rules(value)}}), "rules[1]", "must be a string or an object"});
    for (const std::string value : {"null", "true", "1.5", "-1", "65536", "[]", "{}"})
      all.push_back({command(execute, {{"rules", rules("{\"guest_port\":80,\"host_port\":" + value + "}")}}),
                     "rules[1].host_port", "must be "});
    all.push_back({command(execute, {{"rules", rules("{\"host_port\":80,\"hots_addr\":\"::\"}")}}), "rules[1].hots_addr",
                   "there are only"});
    all.push_back(
        {command(execute, {{"rules", rules("{\"proto\":\"sctp\",\"host_port\":80}")}}), "rules[1].proto", "bad arguments"});
    all.push_back({command(execute, {{"rules", rules("{\"host_unix\":\"/a\\u0000b\",\"guest_port\":80}")}}),
                   "rules[1].host_unix", "NUL"});
    all.push_back(
        {command(execute, {{"rules", rules("{\"host_port\":\"80-70\"}")}}), "rules[1].host_port", "bad arguments"});
  }
  all.push_back({command("forward.add", {{"rules", "[\"8080:80\"]"}, {"host_port", "80"}}), "rules", "beside it"});
  all.push_back({command("forward.add", {{"host_port", "65536"}}), "host_port", "from 0 to 65535"});
  all.push_back({command("forward.add", {{"id", "1"}}), "id", "there are only rules"});
  all.push_back({command("forward.replace", {{"host_port", "80"}}), "host_port", "there are only rules"});
  for (const char* name : {"forward.list", "stats"})
    all.push_back({command(name, {{"x", "1"}}), "x", "bad arguments.x: there are none"});
  for (const std::string value : no_integers) {
    all.push_back({command("forward.remove", {{"id", value}}), "id", "must be an integer"});
    all.push_back({command("forward.remove", {{"ids", "[1," + value + "]"}}), "ids[1]", "must be an integer"});
    all.push_back({command("flow.kill", {{"id", value}}), "id", "must be an integer"});
    for (const std::string name : {"after", "limit", "rule"})
      all.push_back({command("flow.list", {{name, value}}), name, "must be an integer"});
  }
  all.push_back({command("forward.remove", {}), "id", "is missing"});
  all.push_back({command("forward.remove", {{"id", "7"}}), "id", "there is no forward 7"});
  all.push_back({command("forward.remove", {{"ids", "[7]"}}), "ids", "there is no forward 7"});
  all.push_back({command("forward.remove", {{"ids", "[7,7]"}}), "ids", "has 7 twice"});
  all.push_back({command("forward.remove", {{"ids", "[]"}}), "ids", "at least one id"});
  all.push_back({command("forward.remove", {{"ids", "[7]"}, {"id", "7"}}), "id", "cannot stand beside ids"});
  all.push_back({command("flow.kill", {}), "id", "is missing"});
  all.push_back({command("flow.kill", {{"id", "7"}}), "id", "there is no flow 7"});
  all.push_back({command("flow.list", {{"limit", "0"}}), "limit", "from 1 to 150"});
  all.push_back({command("flow.list", {{"limit", "151"}}), "limit", "from 1 to 150"});
  for (const std::string value : {"null", "true", "\"rule_added\"", "{}"})
    all.push_back({command("events.subscribe", {{"events", value}}), "events", "must be an array"});
  all.push_back(
      {command("events.subscribe", {{"events", "[\"rule_added\",\"x\"]"}}), "events[1]", "there are only rule_added"});
  all.push_back({command("events.subscribe", {{"events", "[1]"}}), "events[0]", "must be a string"});
}

}  // namespace

std::vector<Malformed> malformed_requests() {
  std::vector<Malformed> all;
  const auto forward = [&](const std::string& name, const std::string& value, const std::string& rule) {
    all.push_back(
        {command("add_hostfwd", with(good_forward, name, value)), name, "add_hostfwd: bad arguments." + name + rule});
  };

  for (const std::string value : no_strings)
    for (const char* name : {"proto", "host_addr", "guest_addr"}) forward(name, value, ": must be a string, not ");
  for (const std::string value : no_protos) forward("proto", value, ": must be \"tcp\" or \"udp\", not ");
  for (const std::string value : no_addresses)
    for (const char* name : {"host_addr", "guest_addr"}) forward(name, value, ": must be an IPv4 or IPv6 address, not ");
  for (const char* value : {"\"224.0.0.1\"", "\"255.255.255.255\"", "\"ff02::1\""})
    for (const char* name : {"host_addr", "guest_addr"}) forward(name, value, ": ");
  for (const char* value : {"\"0.0.0.0\"", "\"::\""}) forward("guest_addr", value, ": ");
  for (const auto& values : {std::span<const char* const>(no_integers), std::span<const char* const>(no_ports)}) {
    for (const std::string value : values) {
      forward("host_port", value, ": must be an integer from 0 to 65535, not ");
      forward("guest_port", value, ": must be an integer from 1 to 65535, not ");
    }
  }
  forward("guest_port", "0", ": must be an integer from 1 to 65535, not 0");
  for (const char* name : {"proto", "host_port", "guest_port"})
    all.push_back(
        {command("add_hostfwd", without(good_forward, name)), name, std::string("bad arguments.") + name + ": is missing"});
  for (const char* name : {"Proto", "host_adr", "hostport", "", " ", "id", "execute", "proto\\u0000", "\xc3\xa9"}) {
    std::string shown = std::string(name) == "proto\\u0000" ? std::string("proto\0", 6) : name;
    if (shown.empty()) shown = "\"\"";
    all.push_back({command("add_hostfwd", with(good_forward, name, "1")), shown, "there are only proto, host_addr"});
  }
  for (const std::string value : no_integers)
    all.push_back({command("remove_hostfwd", {{"id", value}}), "id", "bad arguments.id: must be an integer"});
  all.push_back({command("remove_hostfwd", {}), "id", "bad arguments.id: is missing"});
  all.push_back({R"({"execute":"remove_hostfwd"})", "id", "bad arguments.id: is missing"});
  all.push_back({command("remove_hostfwd", {{"id", "0"}}), "id", "must be an integer"});
  all.push_back({command("remove_hostfwd", {{"id", "12345"}}), "id", "there is no forward 12345"});
  all.push_back({command("remove_hostfwd", {{"id", "1"}, {"ids", "[1]"}}), "ids", "there are only id"});
  for (const char* name : {"list_hostfwd", "info"})
    all.push_back({command(name, {{"x", "1"}}), "x", "bad arguments.x: there are none"});

  rule_commands(all);
  for (const std::string value : no_commands)
    all.push_back({"{\"execute\":" + value + "}", "execute", "unknown execute: there are only "});
  for (const std::string value : no_strings)
    all.push_back({"{\"execute\":" + value + "}", "execute", "no execute found: must be a string"});
  for (const char* text : {"{}", "{ \n }", R"({"arguments":{}})", R"({"id":1})", R"({"Execute":"info"})"})
    all.push_back({text, "execute", "no execute found: is missing"});
  for (const char* value : {"null", "true", "1", "\"\"", "[]", "[{}]", "\"{}\""}) {
    for (const char* name : {"info", "list_hostfwd", "add_hostfwd", "remove_hostfwd"})
      all.push_back({object({{"execute", "\"" + std::string(name) + "\""}, {"arguments", value}}), "arguments",
                     "bad arguments: must be an object"});
  }
  for (const char* name : {"argument", "args", "ID", "", "jsonrpc", "return"})
    all.push_back({object({{"execute", "\"info\""}, {name, "1"}}), *name == '\0' ? "\"\"" : name,
                   "there are only execute, arguments, id"});

  for (const std::string value : no_values)
    all.push_back({"{\"execute\":\"info\",\"id\":" + value + "}", "", "cannot parse JSON: byte "});
  for (const std::string text : no_objects) all.push_back({text, "", ": a request must be"});
  for (const char* text : {"{]", "{\"a\":1]", "{\"a\":[}]}", "{\"a\":{]}}"})
    all.push_back({text, "", "cannot parse JSON: byte "});
  const std::string whole = command("add_hostfwd", good_forward);
  for (std::size_t length = 1; length < whole.size(); ++length)
    all.push_back({whole.substr(0, length), "", "cannot parse JSON: the request ends before its object does"});

  for (const auto& [name, value] : good_forward) {
    const std::string twice = "{\"" + name + "\":" + value + "," + object(good_forward).substr(1);
    all.push_back({"{\"execute\":\"add_hostfwd\",\"arguments\":" + twice + "}", name, "member " + name + " is given twice"});
  }
  for (const char* name : {"execute", "arguments", "id"})
    all.push_back(
        {"{\"execute\":\"info\",\"arguments\":{},\"id\":1,\"" + std::string(name) + "\":1}", name, "is given twice"});
  all.push_back({R"({"execute":"info","\u0065xecute":"info"})", "execute", "is given twice"});

  for (const std::size_t levels : {16u, 17u, 100u, 5000u, 30000u}) {
    const std::string deep = repeat("[", levels) + repeat("]", levels);
    all.push_back({"{\"execute\":\"info\",\"id\":" + deep + "}", "", "more than 16 levels deep"});
    all.push_back({"{\"execute\":\"info\",\"id\":" + repeat("{\"a\":", levels) + "1" + repeat("}", levels) + "}", "",
                   "more than 16 levels deep"});
  }
  all.push_back({"{\"execute\":\"info\",\"id\":[1" + repeat(",1", 8192) + "]}", "", "more than 8192 values"});
  std::string crowded;
  for (int i = 0; i < 257; ++i) crowded += ",\"m" + std::to_string(i) + "\":1";
  all.push_back({"{\"execute\":\"info\",\"id\":{" + crowded.substr(1) + "}}", "", "more than 256 members"});
  all.push_back({"{\"execute\":\"" + std::string(262144, 'x') + "\"}", "", "too large message"});
  all.push_back({"{" + std::string(270000, ' '), "", "too large message"});
  all.push_back(
      {"{\"" + std::string(60000, 'k') + "\":1,\"execute\":\"info\"}", std::string(64, 'k') + "...", "there are only"});
  return all;
}

}  // namespace nh::test
