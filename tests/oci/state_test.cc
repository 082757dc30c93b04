// SPDX-License-Identifier: BSD-3-Clause
#include "src/oci/state.h"

#include "src/base/limits.h"
#include "tests/support/catch.h"

using namespace nh;

namespace {

std::string state_with(const std::string& members) {
  return R"({"ociVersion":"1.0.2","id":"box","status":"creating","bundle":"/b")" + members + "}";
}

}  // namespace

TEST_CASE("the state of runc and that of crun are understood", "[oci]") {
  const auto runc = parse_container_state(
      R"({"ociVersion":"1.0.2-dev","id":"a.b+c","status":"creating","pid":4321,"bundle":"/home/u/b","annotations":{"k":"v"}})");
  REQUIRE(runc.ok());
  CHECK(runc->id == "a.b+c");
  CHECK(runc->pid == 4321);
  CHECK(runc->bundle == "/home/u/b");
  CHECK_FALSE(runc->stopped);
  CHECK(runc->annotations.at("k") == "v");

  const auto crun = parse_container_state(
      R"({"ociVersion":"1.0","id":"x","pid":1,"root":"/r","bundle":"/b","status":"created","annotations":null})");
  REQUIRE(crun.ok());
  CHECK(crun->annotations.empty());
}

TEST_CASE("a stopped container needs no pid", "[oci]") {
  for (const char* pid : {R"("pid":0,)", R"("pid":-3,)", ""}) {
    const auto state =
        parse_container_state(std::string("{") + pid + R"("ociVersion":"1.0","id":"x","bundle":"/b","status":"stopped"})");
    REQUIRE(state.ok());
    CHECK(state->stopped);
    CHECK_FALSE(state->pid.has_value());
  }
}

TEST_CASE("a state that breaks a rule is refused by the member's name", "[oci]") {
  const std::pair<std::string, const char*> bad[] = {
      {state_with(""), "pid"},
      {state_with(R"(,"pid":0)"), "pid"},
      {state_with(R"(,"pid":-1)"), "pid"},
      {state_with(R"(,"pid":1e30)"), "pid"},
      {state_with(R"(,"pid":2147483648)"), "pid"},
      {state_with(R"(,"pid":"7")"), "pid"},
      {state_with(R"(,"pid":[7])"), "pid"},
      {state_with(R"(,"pid":7,"pid":8)"), "pid"},
      {state_with(R"(,"pid":7,"annotations":[])"), "annotations"},
      {state_with(R"(,"pid":7,"annotations":{"a":1})"), "annotations.a"},
      {state_with(R"(,"pid":7,"annotations":{"a":"1","a":"2"})"), "a"},
      {R"({"ociVersion":"1","id":"a\u0000b","status":"creating","pid":7,"bundle":"/b"})", "id"},
      {R"({"ociVersion":"1","id":"","status":"creating","pid":7,"bundle":"/b"})", "id"},
      {R"({"ociVersion":"1","id":"a","status":"paused","pid":7,"bundle":"/b"})", "status"},
      {R"({"ociVersion":"1","id":"a","status":"creating","pid":7,"bundle":"b"})", "bundle"},
      {R"({"ociVersion":1,"id":"a","status":"creating","pid":7,"bundle":"/b"})", "ociVersion"},
  };
  for (const auto& [text, member] : bad) {
    const auto state = parse_container_state(text);
    INFO(text);
    REQUIRE_FALSE(state.ok());
    CHECK(state.error().code == Code::invalid);
    CHECK(state.error().field == member);
  }
}

TEST_CASE("what is no state at all is refused", "[oci]") {
  const std::string deep = std::string(limits::oci_depth + 1, '[');
  std::string many = R"({"a":[)";
  for (std::size_t i = 0; i <= limits::oci_values; ++i) many += "1,";
  for (const std::string& text : {std::string(), std::string("null"), std::string("[]"), std::string("7"), std::string("{"),
                                  deep, many + "1]}", std::string("\0{}", 3)})
    CHECK_FALSE(parse_container_state(text).ok());
}

TEST_CASE("the network namespace's path is found in config.json", "[oci]") {
  const auto path = network_namespace_path(
      R"({"linux":{"namespaces":[{"type":"pid"},{"type":"mount","path":"/m"},{"type":"network","path":"/run/netns/a"}]}})");
  REQUIRE(path.ok());
  CHECK(path.value() == "/run/netns/a");
  for (const char* none : {"{}", R"({"linux":{}})", R"({"linux":{"namespaces":{}}})", R"({"linux":[]})", "[]",
                           R"({"linux":{"namespaces":[7]}})", R"({"linux":{"namespaces":[{"type":"network"}]}})"}) {
    const auto found = network_namespace_path(none);
    REQUIRE(found.ok());
    CHECK_FALSE(found->has_value());
  }
  CHECK_FALSE(network_namespace_path(R"({"linux":{"namespaces":[{"type":"network","path":"a"}]}})").ok());
  CHECK_FALSE(network_namespace_path(R"({"linux":{"namespaces":[{"type":"network","path":7}]}})").ok());
  CHECK_FALSE(network_namespace_path("{").ok());
}
