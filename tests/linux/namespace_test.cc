// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/namespace.h"

#include <fcntl.h>

#include "tests/support/catch.h"
#include "tests/support/namespaces.h"

namespace nh {
namespace {

using test::Guest;
using test::in_child;

TEST_CASE("a namespace is opened by path and by inherited descriptor, and checked for its type") {
  auto by_path = open_namespace("/proc/self/ns/net", NamespaceType::net, "netns");
  REQUIRE(by_path);
  auto by_fd = open_namespace(std::to_string(by_path->get()), NamespaceType::net, "netns");
  REQUIRE(by_fd);
  CHECK(by_fd->get() != by_path->get());
  CHECK((fcntl(by_fd->get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(same_namespace(by_path->get(), by_fd->get()));
  CHECK(is_own_namespace(by_fd->get(), NamespaceType::net).value());

  const auto wrong_type = open_namespace("/proc/self/ns/net", NamespaceType::user, "userns");
  REQUIRE(!wrong_type);
  CHECK(wrong_type.error().field == "userns");
  CHECK(wrong_type.error().what == "--userns /proc/self/ns/net is not a user namespace (another type of namespace)");
  const auto no_namespace = open_namespace("/dev/null", NamespaceType::net, "netns");
  REQUIRE(!no_namespace);
  CHECK(no_namespace.error().code == Code::invalid);
  CHECK(no_namespace.error().what.find("no namespace at all") != std::string::npos);
  const auto missing = open_namespace("/nonexistent", NamespaceType::net, "netns");
  REQUIRE(!missing);
  CHECK(missing.error().code == Code::missing);
  CHECK(!open_namespace("987654", NamespaceType::net, "netns"));
  CHECK(!open_namespace("99999999999999999999", NamespaceType::net, "netns"));
}

TEST_CASE("the owner of a network namespace is the user namespace that it was made in") {
  test::require_namespaces();
  CHECK(in_child([] {
          Guest guest;
          const UniqueFd netns = EXPECT_OK(open_namespace(guest.netns(), NamespaceType::net, "netns"));
          const UniqueFd userns =
              EXPECT_OK(open_namespace("/proc/" + guest.text() + "/ns/user", NamespaceType::user, "userns"));
          const UniqueFd owner = EXPECT_OK(owner_of(netns.get()));
          EXPECT(same_namespace(owner.get(), userns.get()));
          EXPECT(!EXPECT_OK(is_own_namespace(owner.get(), NamespaceType::user)));
        }) == "");
}

TEST_CASE("a namespace of a stranger's user namespace has no owner that we may see, and cannot be joined") {
  test::require_namespaces();
  CHECK(in_child([] {
          const UniqueFd outer = EXPECT_OK(open_namespace("/proc/self/ns/net", NamespaceType::net, "netns"));
          test::enter_new_namespaces();
          const auto owner = owner_of(outer.get());
          EXPECT(!owner);
          EXPECT(owner.error().sys_errno == EPERM);
          const auto joined = join_namespace(outer.get(), NamespaceType::net);
          EXPECT(!joined);
          EXPECT(joined.error().what.find("CAP_SYS_ADMIN") != std::string::npos);
        }) == "");
}

}  // namespace
}  // namespace nh
