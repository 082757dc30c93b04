// SPDX-License-Identifier: BSD-3-Clause
// The steps of a NamespaceSet against the kernel, in children with user namespaces of their own.
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <map>

#include "src/linux/namespace_steps.h"
#include "tests/support/catch.h"
#include "tests/support/namespaces.h"

namespace nh::test {

namespace {

constexpr int everything =
    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP | CLONE_NEWNS;

NamespaceSet set_of(const std::vector<std::string>& words) {
  NamespaceSet set;
  for (const std::string& word : words) {
    auto parsed = EXPECT_OK(parse_namespace(word));
    EXPECT_OK(set.set(parsed.first, std::move(parsed.second)));
  }
  return set;
}

/// "net:[4026531840]" of a process, "" if it cannot be read. `file` is of /proc/PID/ns.
std::string link(const std::string& pid, const std::string& file) {
  std::array<char, 64> text{};
  const ssize_t size = readlink(("/proc/" + pid + "/ns/" + file).c_str(), text.data(), text.size());
  return {text.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
}

void apply_both(const OpenedNamespaces& opened) {
  EXPECT_OK(opened.apply(NamespaceStage::user));
  EXPECT_OK(opened.apply(NamespaceStage::rest));
}

/// Makes the caller root of a new user namespace, with privilege over what it makes next.
void become_root_inside() {
  enter_new_namespaces(CLONE_NEWUSER);
}

}  // namespace

TEST_CASE("new namespaces of every kind are new, by the two stages") {
  require_namespaces();
  CHECK(in_child([] {
          std::map<std::string, std::string> before;
          for (const NamespaceType type : all_namespace_types)
            before[std::string(proc_name(type))] = link("self", std::string(proc_name(type)));
          const auto opened = EXPECT_OK(OpenedNamespaces::open(
              set_of({"user=new", "pid=new", "uts=new", "ipc=new", "net=new", "cgroup=new", "time=new", "mount=new"})));
          prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
          EXPECT_OK(opened.apply(NamespaceStage::user));
          EXPECT(link("self", "net") == before["net"]);
          EXPECT_OK(opened.apply(NamespaceStage::rest));
          for (const auto& [file, was] : before) {
            const bool by_fork = file == "pid" || file == "time";
            EXPECT((link("self", file) == was) == by_fork);
            if (by_fork) EXPECT(link("self", file + "_for_children") != was);
          }
          EXPECT(opened.set().needs_fork());
          // The fork lands in both.
          EXPECT(in_child([&] {
                   EXPECT(getpid() == 1);
                   EXPECT(link("self", "time") != before["time"]);
                 }) == "");
        }) == "");
}

TEST_CASE("all of a process are joined by its pid, and what it made is what we get") {
  require_namespaces();
  CHECK(in_child([] {
          const Guest guest([] { enter_new_namespaces(everything); });
          const std::string pid = "join:pid:" + guest.text();
          const auto opened = EXPECT_OK(OpenedNamespaces::open(
              set_of({"mount=" + pid, "net=" + pid, "ipc=" + pid, "uts=" + pid, "cgroup=" + pid, "user=" + pid})));
          EXPECT(opened.steps().size() == 1);
          std::map<std::string, std::string> wanted;
          for (const char* file : {"user", "net", "ipc", "uts", "cgroup", "mnt"}) wanted[file] = link(guest.text(), file);
          apply_both(opened);
          for (const auto& [file, is] : wanted) EXPECT(link("self", file) == is);
        }) == "");
}

TEST_CASE("by path, by descriptor and by owner lead to the same namespaces, whatever order they are named in") {
  require_namespaces();
  CHECK(in_child([] {
          const Guest guest([] { enter_new_namespaces(everything); });
          const std::string ns = "/proc/" + guest.text() + "/ns/";
          const UniqueFd uts(open((ns + "uts").c_str(), O_RDONLY | O_CLOEXEC));
          for (const std::string& user : {"user=join:" + ns + "user", std::string("user=join:owner")})
            EXPECT(in_child([&] {
                     const auto opened = EXPECT_OK(
                         OpenedNamespaces::open(set_of({"mount=join:" + ns + "mnt", "net=join:" + ns + "net",
                                                        "uts=join:fd:" + std::to_string(uts.get()), user, "ipc=new"})));
                     const std::string net = link(guest.text(), "net"), ipc = link("self", "ipc");
                     apply_both(opened);
                     EXPECT(link("self", "net") == net);
                     EXPECT(link("self", "ipc") != ipc);
                     EXPECT(link("self", "uts") == link(guest.text(), "uts"));
                     EXPECT(fcntl(uts.get(), F_GETFD) >= 0);  // the inherited one stays open
                   }) == "");
        }) == "");
}

TEST_CASE("a nested user namespace (bwrap --dev): its process is joined by pid, though another owns its network") {
  require_namespaces();
  CHECK(in_child([] {
          const Guest guest([] {
            enter_new_namespaces(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS);
            if (unshare(CLONE_NEWUSER) != 0) throw Failed{"unshare: " + sys_error("").message()};
          });
          const std::string ns = "/proc/" + guest.text() + "/ns/";
          const std::string net = link(guest.text(), "net"), user = link(guest.text(), "user");
          // As its own root the caller has the privilege that the owner of the network wants.
          EXPECT(in_child([&] {
                   const auto opened = EXPECT_OK(
                       OpenedNamespaces::open(set_of({"user=join:pid:" + guest.text(), "net=join:pid:" + guest.text()})));
                   apply_both(opened);
                   EXPECT(link("self", "net") == net);
                   EXPECT(link("self", "user") == user);
                 }) == "");
          // By path, the network has to come before the inner user namespace; which way round is found out, not told.
          const auto by_path =
              EXPECT_OK(OpenedNamespaces::open(set_of({"user=join:" + ns + "user", "net=join:" + ns + "net"})));
          EXPECT(by_path.steps().size() == 2);
          EXPECT(by_path.steps()[0].types.front() == NamespaceType::net);
        }) == "");
}

TEST_CASE("a joined namespace and a new user namespace: joined first") {
  require_namespaces();
  CHECK(
      in_child([] {
        become_root_inside();
        const Guest guest([] { enter_new_namespaces(CLONE_NEWNET); });
        const auto opened = EXPECT_OK(OpenedNamespaces::open(set_of({"user=new", "net=join:" + guest.netns(), "uts=new"})));
        const std::string net = link(guest.text(), "net"), user = link("self", "user");
        EXPECT_OK(opened.apply(NamespaceStage::user));
        EXPECT(link("self", "net") == net);
        EXPECT(link("self", "user") != user);
        EXPECT_OK(opened.apply(NamespaceStage::rest));
      }) == "");
}

TEST_CASE("a joined pid namespace holds the children; the working directory goes to the joined root, last") {
  require_namespaces();
  CHECK(in_child([] {
          const Guest guest([] {
            enter_new_namespaces(CLONE_NEWUSER | CLONE_NEWNS);
            EXPECT(mount("none", "/tmp", "tmpfs", 0, nullptr) == 0);
            EXPECT(mkdir("/tmp/of-the-guest", 0700) == 0);
          });
          const std::string pid = "join:pid:" + guest.text();
          const auto opened = EXPECT_OK(
              OpenedNamespaces::open(set_of({"user=" + pid, "mount=join:/proc/" + guest.text() + "/ns/mnt", "uts=new"})));
          EXPECT(opened.steps().back().types.front() == NamespaceType::mount);
          apply_both(opened);
          EXPECT(access("/tmp/of-the-guest", F_OK) == 0);
        }) == "");
}

TEST_CASE("the kernel's refusals come back with the entry, the step and the cure") {
  require_namespaces();
  CHECK(in_child([] {
          const Guest guest;
          const auto no_privilege = EXPECT_OK(OpenedNamespaces::open(set_of({"user=new", "net=join:" + guest.netns()})));
          // In a user namespace of its own the caller is nobody over the guest's.
          EXPECT(unshare(CLONE_NEWUSER) == 0);
          const auto refused = no_privilege.apply(NamespaceStage::user);
          EXPECT(!refused);
          EXPECT(refused.error().sys_errno == EPERM);
          EXPECT(refused.error().what.find("net=join:" + guest.netns() + ": joining the net namespace") == 0);
        }) == "");
  CHECK(in_child([] {
          const auto wrong = OpenedNamespaces::open(set_of({"net=join:/proc/self/ns/ipc"}));
          EXPECT(!wrong);
          EXPECT(wrong.error().what == "net=join:/proc/self/ns/ipc: checking the kind: this is a namespace of the kind ipc");
          const auto none = OpenedNamespaces::open(set_of({"net=join:/dev/null"}));
          EXPECT(!none);
          EXPECT(none.error().what == "net=join:/dev/null: checking the kind: this is no namespace");
        }) == "");
  CHECK(in_child([] {
          become_root_inside();
          write_file("/proc/sys/user/max_uts_namespaces", "0");
          const auto opened = EXPECT_OK(OpenedNamespaces::open(set_of({"uts=new"})));
          const auto full = opened.apply(NamespaceStage::rest);
          EXPECT(!full);
          EXPECT(full.error().sys_errno == ENOSPC);
          EXPECT(full.error().what.find("uts=new: making the uts namespace") == 0);
        }) == "");
}

TEST_CASE("what is opened for joining does not outlive an exec") {
  require_namespaces();
  CHECK(in_child([] {
          const Guest guest;
          const UniqueFd uts(open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC));
          std::vector<bool> before;
          for (int fd = 0; fd < 256; ++fd) before.push_back(fcntl(fd, F_GETFD) >= 0);
          const auto opened = EXPECT_OK(OpenedNamespaces::open(set_of(
              {"user=join:pid:" + guest.text(), "net=join:" + guest.netns(), "uts=join:fd:" + std::to_string(uts.get())})));
          int opened_now = 0;
          for (int fd = 0; fd < 256; ++fd) {
            const int flags = fcntl(fd, F_GETFD);
            if (before[static_cast<std::size_t>(fd)] || flags < 0) continue;
            EXPECT((flags & FD_CLOEXEC) != 0);
            ++opened_now;
          }
          EXPECT(opened_now >= 4);  // three namespaces and a process
          EXPECT(opened.fd(NamespaceType::net) >= 0);
          EXPECT(opened.fd(NamespaceType::ipc) == -1);
        }) == "");
}

}  // namespace nh::test
