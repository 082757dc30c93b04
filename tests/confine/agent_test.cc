// SPDX-License-Identifier: BSD-3-Clause
// The guest agent's confinement, where the agent is: in the guest's user and network namespaces.
#include <fcntl.h>

#include "src/confine/confine.h"
#include "src/linux/namespace.h"
#include "tests/confine/confined.h"
#include "tests/support/catch.h"

namespace nh {
namespace {

using test::bit;
using test::in_child;

constexpr std::uint64_t network = bit(CAP_NET_ADMIN) | bit(CAP_NET_RAW) | bit(CAP_NET_BIND_SERVICE);

void join(const test::Guest& guest) {
  const UniqueFd userns(open(("/proc/" + guest.text() + "/ns/user").c_str(), O_RDONLY | O_CLOEXEC));
  const UniqueFd netns(open(guest.netns().c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT(userns && netns);
  EXPECT_OK(join_namespace(userns.get(), NamespaceType::user));
  EXPECT_OK(join_namespace(netns.get(), NamespaceType::net));
}

/// In a child that has joined a guest. Whoever has confined itself cannot end the guest any more,
/// so that is another one's.
std::string in_guest(bool mapped, const std::function<void()>& body) {
  return in_child([&] {
    const test::Guest guest([&] { test::enter_new_namespaces(CLONE_NEWUSER | CLONE_NEWNET, mapped); });
    if (std::string failure = in_child([&] {
          join(guest);
          body();
        });
        !failure.empty())
      throw test::Failed{std::move(failure)};
  });
}

TEST_CASE("the agent sees no file and keeps the network's capabilities", "[agent]") {
  test::require_namespaces();
  // With ids and without: an agent whose uid the guest does not know can make no file there.
  for (const bool mapped : {true, false})
    CHECK(in_guest(mapped, [] {
            const Confinement done = EXPECT_OK(confine_agent({.sandbox = true}));
            EXPECT(done.sandbox && done.notes.empty());
            EXPECT(test::names_in("/").empty());
            // No signal leaves.
            if (test::has_landlock_scopes())
              EXPECT(kill(getppid(), 0) != 0 && errno == EPERM);
            else
              test::not_tried_here("the agent's signals: no Landlock scopes (Linux 6.12)");
            const test::Capabilities found = test::capabilities();
            EXPECT(found.effective == network && found.permitted == network && found.bounding == network);
            EXPECT(found.inheritable == 0 && found.ambient == 0);
            EXPECT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
            EXPECT(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
          }) == "");
}

TEST_CASE("without CAP_SYS_ADMIN the agent goes on and says what it still sees", "[agent]") {
  CHECK(in_child([] {
          if (geteuid() == 0) return;
          const Confinement done = EXPECT_OK(confine_agent({.sandbox = true, .seccomp = true}));
          EXPECT(!done.sandbox && done.seccomp && done.notes.size() == 1);
        }) == "");
}

TEST_CASE("neither asked for: capabilities are lowered all the same, the root stays", "[agent]") {
  test::require_namespaces();
  CHECK(in_guest(true, [] {
          EXPECT_OK(confine_agent({}));
          EXPECT(test::capabilities().permitted == network);
          EXPECT(access("/proc/self", F_OK) == 0);
        }) == "");
}

}  // namespace
}  // namespace nh
