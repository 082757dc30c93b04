// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/target.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "src/linux/fd_passing.h"
#include "src/linux/namespace.h"
#include "src/linux/pidfd.h"
#include "src/linux/tap.h"
#include "tests/support/catch.h"
#include "tests/support/namespaces.h"

namespace nh {
namespace {

using test::Guest;
using test::in_child;

TEST_CASE("a pid gives its network namespace and the owner of that, and its death is seen") {
  test::require_namespaces();
  CHECK(in_child([] {
          Guest guest;
          const Target target = EXPECT_OK(open_pid_target(guest.text()));
          EXPECT(target.kind == TargetKind::pid);
          EXPECT(target.pidfd && target.netns && target.userns && !target.tap);
          EXPECT(same_namespace(EXPECT_OK(owner_of(target.netns.get())).get(), target.userns.get()));
          EXPECT(!target.process_gone());
          EXPECT(!target.path_gone());
          guest.end();
          EXPECT(target.process_gone());
        }) == "");
}

TEST_CASE("pids that name no process are refused") {
  for (const char* text : {"0", "-1", "12x", "", "99999999999"}) {
    const auto target = open_pid_target(text);
    REQUIRE(!target);
    CHECK(target.error().code == Code::invalid);
    CHECK(target.error().field == "pid");
  }
  const auto missing = open_pid_target("2147483647");
  REQUIRE(!missing);
  CHECK(missing.error().code == Code::missing);
  CHECK(missing.error().field == "pid");
}

TEST_CASE("a process of our own network namespace is refused") {
  const auto target = open_pid_target(std::to_string(getpid()));
  REQUIRE(!target);
  CHECK(target.error().code == Code::invalid);
  CHECK(target.error().what.find("is our own network namespace") != std::string::npos);
  const auto by_path = open_netns_target("/proc/self/ns/net");
  REQUIRE(!by_path);
  CHECK(by_path.error().field == "netns");
}

TEST_CASE("a process that ended between naming and opening is gone") {
  test::require_namespaces();
  CHECK(in_child([] {
          Guest guest;
          UniqueFd pidfd = EXPECT_OK(open_pidfd(guest.pid()));
          const pid_t pid = guest.pid();
          guest.end();
          const auto target = open_pid_target(pid, std::move(pidfd));
          EXPECT(!target);
          EXPECT(target.error().code == Code::gone);
        }) == "");
}

/// In a pid namespace of its own, whose root may say which pid comes next (kernel.ns_last_pid).
void pid_reused() {
  EXPECT(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0);
  Guest first;
  const pid_t pid = first.pid();
  UniqueFd pidfd = EXPECT_OK(open_pidfd(pid));
  first.end();
  test::write_file("/proc/sys/kernel/ns_last_pid", std::to_string(pid - 1));
  Guest second([] { test::enter_new_namespaces(CLONE_NEWNET); });
  EXPECT(second.pid() == pid);
  EXPECT_OK(open_pid_target(pid, EXPECT_OK(open_pidfd(pid))));  // the newcomer itself could be a target
  const auto target = open_pid_target(pid, std::move(pidfd));
  EXPECT(!target);
  EXPECT(target.error().code == Code::gone);
}

TEST_CASE("a pid that was given to another process meanwhile is noticed") {
  test::require_namespaces();
  CHECK(in_child([] {
          test::enter_new_namespaces(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS);
          EXPECT(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
          const std::string failure = in_child([] { pid_reused(); });
          if (!failure.empty()) throw test::Failed{failure};
        }) == "");
}

TEST_CASE("a process that is not dumpable is refused with the cure") {
  test::require_namespaces();
  CHECK(in_child([] {
          if (geteuid() == 0) test::enter_new_namespaces(CLONE_NEWUSER);  // real root may look at everybody
          Guest guest([] {
            test::enter_new_namespaces();
            prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
          });
          const auto target = open_pid_target(guest.text());
          EXPECT(!target);
          EXPECT(target.error().code == Code::denied);
          EXPECT(target.error().what.find("not dumpable") != std::string::npos);
        }) == "");
}

TEST_CASE("a network namespace is named by path or descriptor, its user namespace by --userns") {
  test::require_namespaces();
  CHECK(in_child([] {
          Guest guest;
          const Target by_path = EXPECT_OK(open_netns_target(guest.netns()));
          EXPECT(by_path.kind == TargetKind::netns_path);
          EXPECT(by_path.userns);
          const Target by_fd = EXPECT_OK(open_netns_target(std::to_string(by_path.netns.get())));
          EXPECT(by_fd.kind == TargetKind::netns_fd);
          EXPECT(same_namespace(by_path.netns.get(), by_fd.netns.get()));
          const Target own = EXPECT_OK(open_netns_target(guest.netns(), "/proc/self/ns/user"));
          EXPECT(!own.userns);  // we are in it
          const auto wrong = open_netns_target(guest.netns(), guest.netns());
          EXPECT(!wrong);
          EXPECT(wrong.error().field == "userns");
          EXPECT(!open_netns_target(""));
        }) == "");
}

TEST_CASE("a path is gone when its process is, when it is removed, and when another namespace takes its place") {
  test::require_namespaces();
  CHECK(in_child([] {
          std::string link = "/tmp/target-test-XXXXXX";
          EXPECT(mkdtemp(link.data()) != nullptr);
          const std::string directory = link;
          link += "/netns";
          Guest first, second;
          EXPECT(symlink(first.netns().c_str(), link.c_str()) == 0);
          const Target through_link = EXPECT_OK(open_netns_target(link));
          const Target direct = EXPECT_OK(open_netns_target(first.netns()));
          EXPECT(!through_link.path_gone());
          EXPECT(unlink(link.c_str()) == 0);
          EXPECT(through_link.path_gone());
          EXPECT(symlink(second.netns().c_str(), link.c_str()) == 0);
          EXPECT(through_link.path_gone());
          EXPECT(unlink(link.c_str()) == 0);
          EXPECT(symlink(first.netns().c_str(), link.c_str()) == 0);
          EXPECT(!through_link.path_gone());
          EXPECT(unlink(link.c_str()) == 0);
          EXPECT(rmdir(directory.c_str()) == 0);
          EXPECT(!direct.path_gone());
          first.end();
          EXPECT(direct.path_gone());
        }) == "");
}

TEST_CASE("a TAP that was handed over brings its namespaces along where the kernel tells them") {
  test::require_namespaces();
  CHECK(in_child([] {
          std::array<int, 2> ends{};
          EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
          const UniqueFd ours(ends[0]), theirs(ends[1]);
          Guest guest([&] {
            test::enter_new_namespaces();
            const OpenedTap tap = EXPECT_OK(open_tap("tap0"));
            constexpr std::array<std::uint8_t, 1> byte{1};
            for (int i = 0; i < 2; ++i) EXPECT_OK(send_message(theirs.get(), byte, tap.fd.get()));
          });
          const MonotonicClock clock;
          const std::string number = std::to_string(ours.get());
          const UniqueFd expected = EXPECT_OK(open_namespace(guest.netns(), NamespaceType::net, "netns"));
          const Target by_socket = EXPECT_OK(open_tap_socket_target(number, clock, -1));
          EXPECT(by_socket.kind == TargetKind::tap_socket);
          EXPECT(by_socket.tap && by_socket.userns);
          EXPECT(same_namespace(by_socket.netns.get(), expected.get()));

          // From a user namespace without power over it the same TAP is bare.
          test::enter_new_namespaces(CLONE_NEWUSER);
          const Target bare = EXPECT_OK(open_tap_socket_target(number, clock, -1));
          EXPECT(bare.tap && !bare.netns && !bare.userns);
          const Target by_fd = EXPECT_OK(open_tap_fd_target(std::to_string(fcntl(bare.tap.get(), F_DUPFD_CLOEXEC, 3))));
          EXPECT(by_fd.kind == TargetKind::tap_fd);
        }) == "");
}

TEST_CASE("something else than a TAP is refused, with the option's name") {
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  const auto target = open_tap_fd_target(std::to_string(null.get()));
  REQUIRE(!target);
  CHECK(target.error().field == "tap-fd");
  CHECK(target.error().what.find("is not a TAP") != std::string::npos);
  CHECK(!open_tap_fd_target("x"));
}

}  // namespace
}  // namespace nh
