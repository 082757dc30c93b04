// SPDX-License-Identifier: BSD-3-Clause
// The root as the command sees it, made for real in namespaces of the test's own. Long because each promise of root.h is a case,
// and all share one way of making a root.
#include "tools/netns-run/inside/root.h"

#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "src/linux/mount.h"
#include "src/linux/mountinfo.h"
#include "tests/netns_run/tree.h"
#include "tests/support/catch.h"
#include "tools/netns-run/inside/masks.h"
#include "tools/netns-run/inside/root_switch.h"

using namespace nh;
using namespace nh::run;
using namespace nh::test;

namespace {

using Kind = MountSpec::Kind;

/// The error of prepare_root with this mount in it.
std::string refusal(const MountSpec& mount) {
  const Tree tree;
  RootPlan plan = plan_for(tree);
  plan.mounts.push_back(mount);
  std::string text;
  const std::string failure = as_root_inside([&] {
    const auto done = prepare_root(plan, {});
    throw Failed{done ? "no error" : done.error().message()};
  });
  return failure;
}

}  // namespace

TEST_CASE("the directory becomes the root, and nothing of the host is left to see") {
  require_namespaces();
  const Tree tree;
  CHECK(as_root_inside([&] {
          EXPECT_OK(prepare_root(plan_for(tree), {}));
          EXPECT(read_file("/marker") == "inside");
          EXPECT(!exists(tree.path()));
          for (const auto& mount : EXPECT_OK(read_mountinfo())) {
            EXPECT(mount.point == "/" || mount.point == "/proc");
            EXPECT(mount.propagation.empty());
          }
          EXPECT(read_file("/proc/self/stat").starts_with("1 "));
          EXPECT(!exists("/proc/" + std::to_string(2)));
        }) == "");
}

TEST_CASE("no mount leaks out, although the mount namespace outside shares its mounts") {
  require_namespaces();
  const Tree tree;
  tree.make_directory("tmp");
  CHECK(in_child([&] {
          enter_new_namespaces(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID);
          // As systemd leaves it on a host: shared. The child below has the same user namespace, so that nothing but
          // prepare_root cuts it off.
          EXPECT(mount(nullptr, "/", nullptr, MS_SHARED | MS_REC, nullptr) == 0);
          const std::string before = read_file("/proc/self/mountinfo");
          const std::string failure = in_child([&] {
            EXPECT(unshare(CLONE_NEWNS) == 0);
            RootPlan plan = plan_for(tree);
            plan.mounts.push_back(mount_of(Kind::tmpfs, "/tmp"));
            plan.masked = {"/etc"};
            plan.write_hosts = true;
            EXPECT_OK(prepare_root(plan, {}));
            EXPECT(EXPECT_OK(read_mountinfo()).size() >= 4);
          });
          if (!failure.empty()) throw Failed{failure};
          EXPECT(read_file("/proc/self/mountinfo") == before);
        }) == "");
}

TEST_CASE("without a directory the host's tree stays, and mounts are ours alone") {
  require_namespaces();
  const Tree tree;
  CHECK(as_root_inside([&] {
          EXPECT(chdir(tree.path().c_str()) == 0);
          RootPlan plan;
          plan.mounts.push_back(mount_of(Kind::tmpfs, tree.at("data")));
          EXPECT_OK(prepare_root(plan, {}));
          EXPECT(read_file("marker") == "inside");  // the working directory stays
          EXPECT(writing(tree.at("data/in-the-tmpfs")) == 0);
        }) == "");
  CHECK(!tree.has("data/in-the-tmpfs"));
}

TEST_CASE("the working directory is found again in the new root") {
  require_namespaces();
  const Tree tree;
  const std::string here = std::filesystem::temp_directory_path().string();
  tree.make_directory(here.substr(1));
  CHECK(as_root_inside([&] {
          EXPECT(chdir(here.c_str()) == 0);
          EXPECT_OK(prepare_root(plan_for(tree), {}));
          EXPECT(std::filesystem::current_path() == here);
        }) == "");
}

TEST_CASE("a read-only root refuses writes, and a tmpfs in it takes them") {
  require_namespaces();
  const Tree tree;
  CHECK(as_root_inside([&] {
          RootPlan plan = plan_for(tree);
          plan.read_only = true;
          plan.mounts.push_back(mount_of(Kind::tmpfs, "/data"));
          EXPECT_OK(prepare_root(plan, {}));
          EXPECT(writing("/new") == EROFS);
          EXPECT(writing("/data/new") == 0);
        }) == "");
}

TEST_CASE("the host's tree made read-only is so in all its mounts, but for the binds that were asked for") {
  require_namespaces();
  const Tree tree;
  CHECK(as_root_inside(
            [&] {
              RootPlan plan;
              plan.read_only = true;
              plan.mounts.push_back(mount_of(Kind::bind, tree.at("data"), tree.at("data")));
              EXPECT_OK(prepare_root(plan, {}));
              EXPECT(writing(tree.at("new")) == EROFS);
              EXPECT(writing(tree.at("etc/new")) == EROFS);
              EXPECT(writing(tree.at("data/new")) == 0);
            },
            [&] { EXPECT(mount("tmpfs", tree.at("etc").c_str(), "tmpfs", 0, nullptr) == 0); }) == "");
}

TEST_CASE("a mount target stays inside, whatever links lie there") {
  require_namespaces();
  const Tree tree;
  const Tree outside;
  tree.link("evil", "/etc");
  tree.link("far", "../../../../../../etc");
  tree.link("away", outside.at("data"));
  CHECK(as_root_inside([&] {
          RootPlan plan = plan_for(tree);
          plan.mounts.push_back(mount_of(Kind::tmpfs, "/evil/a"));
          plan.mounts.push_back(mount_of(Kind::tmpfs, "/far/b"));
          plan.mounts.push_back(mount_of(Kind::tmpfs, "/data/../../../etc/c"));
          plan.mounts.push_back(mount_of(Kind::tmpfs, "/away/d"));
          EXPECT_OK(prepare_root(plan, {}));
          for (const char* point : {"/etc/a", "/etc/b", "/etc/c"}) {
            const auto mounts = EXPECT_OK(read_mountinfo());
            EXPECT(std::any_of(mounts.begin(), mounts.end(), [point](const auto& mount) { return mount.point == point; }));
          }
        }) == "");
  CHECK(tree.has("etc/a"));
  CHECK(!outside.has("data/d"));
  CHECK(!exists("/etc/a"));
  CHECK(tree.has(outside.at("data/d").substr(1)));  // where the link leads, inside
}

TEST_CASE("targets that would hide the root or lie about processes are refused") {
  require_namespaces();
  CHECK(refusal(mount_of(Kind::tmpfs, "relative")).find("must be an absolute path") != std::string::npos);
  CHECK(refusal(mount_of(Kind::tmpfs, "/data/..")).find("\"/\" itself") != std::string::npos);
  CHECK(refusal(mount_of(Kind::tmpfs, "/proc/self")).find("below /proc") != std::string::npos);
  CHECK(refusal(mount_of(Kind::tmpfs, "/etc/../proc/1")).find("below /proc") != std::string::npos);
  CHECK(refusal(mount_of(Kind::bind, "/data", "/does/not/exist")).find("/does/not/exist") != std::string::npos);
  CHECK(refusal(mount_of(Kind::bind, "/marker", "/usr")).find("a directory can cover a directory only") !=
        std::string::npos);
  MountSpec bad = mount_of(Kind::tmpfs, "/data");
  bad.data = "size=plenty";
  CHECK(refusal(bad).find("size=plenty") != std::string::npos);
}

TEST_CASE("proc and sysfs are mounted on real directories only") {
  require_namespaces();
  const Tree tree;
  std::filesystem::remove(tree.at("proc"));
  tree.link("proc", "/etc");
  CHECK(as_root_inside([&] {
          const auto done = prepare_root(plan_for(tree), {});
          EXPECT(!done);
          EXPECT(done.error().sys_errno == ELOOP);
          EXPECT(done.error().what.find("/proc") != std::string::npos);
        }) == "");
}

TEST_CASE("missing mount points are made, also where a dangling link leads") {
  require_namespaces();
  const Tree tree;
  const Tree source;
  tree.link("etc/name", "/run/made/file");
  CHECK(as_root_inside([&] {
          RootPlan plan = plan_for(tree);
          plan.mounts.push_back(mount_of(Kind::bind, "/deep/er/dir", source.at("data")));
          plan.mounts.push_back(mount_of(Kind::bind, "/deep/file", source.at("marker")));
          plan.mounts.push_back(mount_of(Kind::bind, "/etc/name", source.at("marker")));
          MountSpec missing = mount_of(Kind::bind, "/never", "/does/not/exist");
          missing.optional = true;
          plan.mounts.push_back(missing);
          EXPECT_OK(prepare_root(plan, {}));
          EXPECT(read_file("/deep/file") == "inside");
          EXPECT(read_file("/run/made/file") == "inside");
          EXPECT(!exists("/never"));
        }) == "");
  CHECK(!exists("/run/made/file"));
}

TEST_CASE("a read-only bind is so for the whole tree, or for its top alone") {
  require_namespaces();
  const Tree tree;
  const Tree source;
  source.make_directory("data/below");
  CHECK(as_root_inside(
            [&] {
              RootPlan plan = plan_for(tree);
              MountSpec whole = mount_of(Kind::bind, "/whole", source.path()),
                        top = mount_of(Kind::bind, "/top", source.path());
              whole.set_flags = MS_RDONLY;
              top.top_set_flags = MS_RDONLY;
              plan.mounts.insert(plan.mounts.end(), {whole, top, mount_of(Kind::bind, "/writable", source.path())});
              EXPECT_OK(prepare_root(plan, {}));
              EXPECT(writing("/whole/new") == EROFS);
              EXPECT(writing("/whole/data/new") == EROFS);
              EXPECT(writing("/top/new") == EROFS);
              EXPECT(writing("/top/data/new") == 0);
              EXPECT(writing("/writable/new") == 0);
            },
            [&] { EXPECT(mount("tmpfs", source.at("data").c_str(), "tmpfs", 0, nullptr) == 0); }) == "");
}

TEST_CASE("flags that the host has locked stay, and the rest of what was asked for is done") {
  require_namespaces();
  const Tree tree;
  const Tree source;
  CHECK(in_child([&] {
          enter_new_namespaces(CLONE_NEWUSER | CLONE_NEWNS);
          EXPECT(mount("tmpfs", source.at("data").c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOATIME, nullptr) == 0);
          const std::string failure =
              as_root_inside([&] {  // a user namespace below: the flags of that mount are locked here
                RootPlan plan = plan_for(tree);
                MountSpec bind = mount_of(Kind::bind, "/data", source.at("data"));
                bind.clear_flags = MS_NOSUID | MS_NODEV;
                bind.set_flags = MS_RDONLY | MS_NOEXEC | MS_STRICTATIME;
                plan.mounts.push_back(bind);
                EXPECT_OK(prepare_root(plan, {}));
                for (const auto& mount : EXPECT_OK(read_mountinfo()))
                  if (mount.point == "/data") EXPECT(mount.options == "ro,nosuid,nodev,noexec,noatime");
              });
          if (!failure.empty()) throw Failed{failure};
        }) == "");
}

TEST_CASE("a read-only tmpfs still takes the mount points of later mounts") {
  require_namespaces();
  const Tree tree;
  CHECK(as_root_inside([&] {
          RootPlan plan = plan_for(tree);
          MountSpec sealed = mount_of(Kind::tmpfs, "/data");
          sealed.set_flags = MS_RDONLY;
          plan.mounts.insert(plan.mounts.end(), {sealed, mount_of(Kind::tmpfs, "/data/inner")});
          EXPECT_OK(prepare_root(plan, {}));
          EXPECT(writing("/data/new") == EROFS);
          EXPECT(writing("/data/inner/new") == 0);
        }) == "");
}

TEST_CASE("the minimal /dev has devices that work, links, terminals and shared memory") {
  require_namespaces();
  const Tree tree;
  CHECK(as_root_inside([&] {
          RootPlan plan = plan_for(tree);
          plan.mounts.push_back(mount_of(Kind::dev, "/dev"));
          EXPECT_OK(prepare_root(plan, {}));
          EXPECT(writing("/dev/null") == 0);
          EXPECT(writing("/dev/shm/new") == 0);
          const UniqueFd zero(open("/dev/zero", O_RDONLY | O_CLOEXEC)), full(open("/dev/full", O_WRONLY | O_CLOEXEC));
          char byte = 'x';
          EXPECT(read(zero.get(), &byte, 1) == 1 && byte == '\0');
          EXPECT(write(full.get(), &byte, 1) < 0 && errno == ENOSPC);
          const UniqueFd terminal(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
          EXPECT(terminal);
          for (const char* link : {"fd", "stdin", "stdout", "stderr", "ptmx"})
            EXPECT(std::filesystem::is_symlink(std::string("/dev/") + link));
          for (const char* name : {"random", "urandom", "tty"})
            EXPECT(std::filesystem::is_character_file(std::string("/dev/") + name));
        }) == "");
}

TEST_CASE("default devices are put into a /dev of the plan's own") {
  require_namespaces();
  const Tree tree;
  CHECK(as_root_inside([&] {
          RootPlan plan = plan_for(tree);
          MountSpec dev = mount_of(Kind::tmpfs, "/dev");
          dev.set_flags = MS_RDONLY;
          plan.mounts.push_back(dev);
          plan.default_devices = true;
          EXPECT_OK(prepare_root(plan, {}));
          EXPECT(std::filesystem::is_character_file("/dev/null"));
          EXPECT(writing("/dev/new") == EROFS);
        }) == "");
}

TEST_CASE("where a part of the host's /proc is hidden, the host's /proc is bound") {
  require_namespaces();
  const Tree tree;
  CHECK(in_child([&] {
          enter_new_namespaces(CLONE_NEWUSER | CLONE_NEWNS);
          // The kernel allows a new /proc where any one that can be seen is whole (fs/namespace.c mount_too_revealing).
          for (const auto& proc : EXPECT_OK(read_mountinfo()))
            if (proc.type == "proc" && proc.root == "/")
              EXPECT(mount("tmpfs", (proc.point + "/sys").c_str(), "tmpfs", 0, nullptr) == 0);
          const std::string failure = as_root_inside([&] {
            EXPECT_OK(prepare_root(plan_for(tree), {}));
            EXPECT(exists("/proc/uptime"));
            EXPECT(entries_of("/proc/sys") == 0);  // still hidden
          });
          if (!failure.empty()) throw Failed{failure};
        }) == "");
}

TEST_CASE(
    "the root can be moved into place where pivot_root cannot be used, and no fresh proc can be had behind its masks") {
  require_namespaces();
  const Tree tree;
  // What a command without privilege can do: a user namespace of its own, and a proc in it.
  const auto fresh_proc = [] {
    return in_child([] {
      enter_new_namespaces(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID, /*mapped=*/false);
      const std::string failure = in_child([] { EXPECT_OK(new_filesystem("proc", "proc", "", 0)); });
      if (!failure.empty()) throw Failed{failure};
    });
  };
  CHECK(as_root_inside([&] {
          const UniqueFd host(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
          EXPECT_OK(set_propagation(host.get(), MS_PRIVATE | MS_REC));
          const UniqueFd root = EXPECT_OK(clone_tree(AT_FDCWD, tree.path(), true));
          const UniqueFd place(open(tree.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
          EXPECT_OK(attach(root.get(), place.get()));
          const UniqueFd proc = EXPECT_OK(new_filesystem("proc", "proc", "", 0));
          const UniqueFd proc_place(openat(root.get(), "proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
          EXPECT_OK(attach(proc.get(), proc_place.get()));
          EXPECT_OK(make_read_only(root.get(), {"/proc/sys"}));
          EXPECT(fresh_proc().empty());  // the host's /proc is in full sight
          EXPECT_OK(move_into(root.get()));
          EXPECT(read_file("/marker") == "inside");
          EXPECT(!exists(tree.path()));
          EXPECT(fresh_proc().find("EPERM") != std::string::npos);
        }) == "");
}

TEST_CASE("mounts of the host reach a slave root, and no other") {
  require_namespaces();
  for (const unsigned long propagation : {0UL, static_cast<unsigned long>(MS_SLAVE | MS_REC)}) {
    const Tree tree;
    CHECK(in_child([&] {
            enter_new_namespaces(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID);
            EXPECT(mount(nullptr, "/", nullptr, MS_SHARED | MS_REC, nullptr) == 0);
            Pipe made, seen;
            const Guest guest([&] {  // its pid 1: it has its root when this is over
              EXPECT(unshare(CLONE_NEWNS) == 0);
              RootPlan plan = plan_for(tree);
              plan.propagation = propagation;
              EXPECT_OK(prepare_root(plan, {}));
              const pid_t watcher = fork();
              if (watcher != 0) return;
              char byte = 0;
              byte = read(made.read_end.get(), &byte, 1) == 1 && exists("/data/from-outside") ? 'y' : 'n';
              _exit(write(seen.write_end.get(), &byte, 1) == 1 ? 0 : 1);
            });
            EXPECT(mount("tmpfs", tree.at("data").c_str(), "tmpfs", 0, nullptr) == 0);
            EXPECT(writing(tree.at("data/from-outside")) == 0);
            char answer = '?';
            EXPECT(write(made.write_end.get(), "!", 1) == 1);
            seen.write_end.reset();
            EXPECT(read(seen.read_end.get(), &answer, 1) == 1);
            EXPECT(answer == (propagation == 0 ? 'n' : 'y'));
          }) == "");
  }
}

TEST_CASE("sysctls of the namespaces are written, before /proc/sys becomes read-only") {
  require_namespaces();
  const Tree tree;
  CHECK(as_root_inside([&] {
          RootPlan plan = plan_for(tree);
          plan.read_only_paths = default_read_only();
          plan.sysctls = {{"net.ipv4.ip_forward", "1"}};
          EXPECT_OK(prepare_root(plan, {}));
          EXPECT(read_file("/proc/sys/net/ipv4/ip_forward") == "1\n");
          EXPECT(writing("/proc/sys/net/ipv4/ip_forward") == EROFS);
        }) == "");
}

TEST_CASE("without a namespace to mount in, the error says so") {
  require_namespaces();
  CHECK(in_child([] {
          // Mounts belong to a user namespace above this one.
          enter_new_namespaces(CLONE_NEWUSER);
          const auto done = prepare_root({}, {});
          EXPECT(!done);
          EXPECT(done.error().code == Code::denied);
          for (const char* part : {"private", "uid_map", "AppArmor", "mount at /", "CAP_SYS_ADMIN"})
            EXPECT(done.error().message().find(part) != std::string::npos);
        }) == "");
}
