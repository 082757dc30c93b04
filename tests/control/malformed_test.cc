// SPDX-License-Identifier: BSD-3-Clause
// Each malformed request is answered with an error that names the field or the rule, and the server
// serves on.
#include "src/json/json_checked.h"
#include "tests/control/malformed_requests.h"
#include "tests/control/server_fixture.h"
#include "tests/support/catch.h"

using namespace nh;

namespace {

/// The answer to one client that says this and no more. Larger requests than the kernel's buffer go
/// in pieces.
std::string ask(test::Server& server, std::string_view text) {
  test::UnixClient client(server.path);
  while (!text.empty()) {
    const ssize_t size = client.send(text.substr(0, 32768));
    if (size < 0) break;  // it was refused before its end
    text.remove_prefix(static_cast<std::size_t>(size));
    test::turn(server.loop, 4);
  }
  client.half_close();
  return client.all(server.loop);
}

std::string member(const Json& object, const char* name) {
  return object.contains(name) && object[name].is_string() ? object[name].get<std::string>() : std::string();
}

}  // namespace

TEST_CASE("every malformed request is answered natively with its field or its rule") {
  const auto all = test::malformed_requests();
  CHECK(all.size() >= 500);
  test::Server served(Dialect::native);
  for (const auto& bad : all) {
    CAPTURE(bad.request.substr(0, 300));
    const std::string reply = ask(served, bad.request);
    CAPTURE(reply);
    // What follows a broken object may be answered, too; the first line is the one that counts.
    auto parsed = parse_checked(reply.substr(0, reply.find('\n')));
    REQUIRE(parsed);
    REQUIRE(parsed->contains("error"));
    const Json error = (*parsed)["error"];
    CHECK(member(error, "field") == bad.field);
    CHECK(error.contains("field") == !bad.field.empty());
    CHECK(member(error, "desc").find(bad.rule) != std::string::npos);
    CHECK(member(error, "desc").starts_with("bad request: "));
    CHECK_FALSE(member(error, "code").empty());
    REQUIRE(ask(served, R"({"execute":"list_hostfwd","id":1})") == "{\"return\":{\"entries\":[]},\"id\":1}\n");
  }
  CHECK(served.rules.last_id == 0);
  CHECK(served.server->clients() == 0);
}

TEST_CASE(
    "every malformed request is survived in slirp4netns's dialect, with one desc and nothing "
    "else") {
  test::Server served(Dialect::slirp4netns);
  std::size_t carried_out = 0;  // some rules are ours alone
  for (const auto& bad : test::malformed_requests()) {
    CAPTURE(bad.request.substr(0, 300));
    const std::string reply = ask(served, bad.request);
    CAPTURE(reply.substr(0, 300));
    auto parsed = parse_checked(reply);
    REQUIRE(parsed);
    if (parsed->contains("return")) {
      ++carried_out;
      continue;
    }
    REQUIRE(parsed->contains("error"));
    CHECK((*parsed)["error"].size() == 1);
    CHECK(member((*parsed)["error"], "desc").starts_with("bad request: "));
    REQUIRE(ask(served, R"({"execute":"x"})") == R"({"error":{"desc":"bad request: unknown execute"}})");
  }
  CHECK(carried_out < 60);
}
