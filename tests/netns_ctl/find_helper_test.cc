// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-ctl/find_helper.h"

#include <initializer_list>

#include "tests/support/catch.h"

using namespace nh::ctl;

namespace {

std::string socket_of(std::initializer_list<const char*> words) {
  std::string text;
  for (const char* word : words) text += std::string(word) + std::string(1, '\0');
  return socket_of_command_line(text).value_or("(none)");
}

}  // namespace

TEST_CASE("a helper's socket is read from its command line, under both of its names") {
  CHECK(socket_of({"netns-helper", "--pid", "1", "--api-socket", "/run/a", "tap0"}) == "/run/a");
  CHECK(socket_of({"/usr/bin/netns-helper", "--api-socket=/run/a", "--pid", "1"}) == "/run/a");
  CHECK(socket_of({"slirp4netns", "-c", "-a", "/run/a", "1", "tap0"}) == "/run/a");
  CHECK(socket_of({"/x/netns-helper", "slirp4netns", "-a/run/a", "1", "tap0"}) == "/run/a");
  CHECK(socket_of({"slirp4netns", "--api-socket", "/run/a", "1", "tap0"}) == "/run/a");
}

TEST_CASE("other processes, and helpers without a socket, have none") {
  CHECK(socket_of({}) == "(none)");
  CHECK(socket_of({"netns-helper", "--pid", "1"}) == "(none)");
  CHECK(socket_of({"netns-helper", "--api-socket"}) == "(none)");
  CHECK(socket_of({"netns-helper", "-a", "/run/a"}) == "(none)");
  CHECK(socket_of({"bash", "-c", "netns-helper", "--api-socket", "/run/a"}) == "(none)");
  CHECK(socket_of({"netns-helper", "--", "--api-socket", "/run/a"}) == "(none)");
}

TEST_CASE("a socket that nobody listens on is told with its errno") {
  const auto client = reach_helper("/nonexistent/socket", std::nullopt);
  REQUIRE_FALSE(client);
  CHECK(client.error().message() == "connecting to /nonexistent/socket: No such file or directory (ENOENT)");
  CHECK_FALSE(reach_helper(std::string(108, 'x'), std::nullopt));
}
