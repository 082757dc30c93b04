// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/channel.h"

#include <sys/socket.h>

#include "tests/support/catch.h"

using namespace nh;
using namespace nh::run;

namespace {

std::pair<Channel, Channel> channels() {
  auto pair = Channel::make_pair();
  REQUIRE(pair.ok());
  return std::move(pair).value();
}

}  // namespace

TEST_CASE("reports arrive as they were made, one by one", "[channel]") {
  auto [outside, inside] = channels();
  NamespaceInodes inodes{};
  inodes[0] = 4026531837;
  REQUIRE(inside.report({.kind = Report::Kind::unshared}).ok());
  REQUIRE(inside.report({.kind = Report::Kind::moved, .pid = 4711}).ok());
  REQUIRE(inside.report({.kind = Report::Kind::prepared, .inodes = inodes}).ok());
  REQUIRE(inside.report({.kind = Report::Kind::failed, .exit_code = 127, .text = "two\nlines"}).ok());
  REQUIRE(inside.report({.kind = Report::Kind::failed, .exit_code = 125, .text = std::string(100000, 'x')}).ok());
  inside.close();
  CHECK(outside.next()->kind == Report::Kind::unshared);
  CHECK(outside.next()->pid == 4711);
  CHECK(outside.next()->inodes == inodes);
  const auto failed = outside.next();
  CHECK(failed->exit_code == 127);
  CHECK(failed->text == "two\nlines");
  CHECK(outside.next()->text.size() > 10000);
  CHECK(outside.next()->kind == Report::Kind::closed);
}

TEST_CASE("a child waits for the order that it needs; an abort, and the launcher's end, are told apart", "[channel]") {
  auto [outside, inside] = channels();
  REQUIRE(outside.order(Order::release).ok());
  REQUIRE(outside.order(Order::go).ok());
  CHECK(inside.await(Order::release, "the maps").ok());
  CHECK(inside.await(Order::go, "the network").ok());

  outside.give_up();
  const auto aborted = inside.await(Order::go, "the network");
  REQUIRE_FALSE(aborted.ok());
  CHECK(aborted.error().code == Code::interrupted);
  CHECK(aborted.error().what.find("given up before the network") != std::string::npos);
  // Who listens later finds the end; and can still report.
  CHECK(inside.await(Order::go, "the network").error().code == Code::interrupted);
  CHECK(inside.report({.kind = Report::Kind::unshared}).ok());
  CHECK(outside.next()->kind == Report::Kind::unshared);

  auto [gone, waiting] = channels();
  gone.close();
  const auto ended = waiting.await(Order::release, "the id maps");
  REQUIRE_FALSE(ended.ok());
  CHECK(ended.error().what.find("the launcher is gone") != std::string::npos);
}

TEST_CASE("another order than the one waited for is an abort, and 0 is one", "[channel]") {
  for (const Order order : {Order::abort, Order::go}) {
    auto [outside, inside] = channels();
    REQUIRE(outside.order(order).ok());
    CHECK_FALSE(inside.await(Order::release, "the id maps").ok());
  }
}
