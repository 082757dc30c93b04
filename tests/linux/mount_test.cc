// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/mount.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "src/linux/mountinfo.h"
#include "src/linux/root_path.h"
#include "tests/support/catch.h"
#include "tests/support/namespaces.h"

using namespace nh;
using namespace nh::test;

namespace {

UniqueFd opened(const char* path) {
  return UniqueFd(open(path, O_PATH | O_CLOEXEC));
}

/// An empty tmpfs of the child's own, attached over /mnt.
UniqueFd own_tmpfs() {
  enter_new_namespaces(CLONE_NEWUSER | CLONE_NEWNS);
  UniqueFd root = EXPECT_OK(new_filesystem("tmpfs", "tmpfs", "mode=0755", 0));
  EXPECT_OK(attach(root.get(), opened("/mnt").get()));
  return root;
}

}  // namespace

TEST_CASE("mountinfo is read whole: escapes, tags, lines that break the form") {
  const auto mounts = parse_mountinfo(
      "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:22 - ext3 /dev/ro\\134ot rw,errors=continue\n"
      "37 36 0:5 / /proc ro - proc proc rw\n"
      "short line\n"
      "x 36 0:5 / /a ro - proc proc rw\n"
      "38 36 0:5 / /no/dash ro proc proc rw\n"
      "39 36 0:5 / /cut rw - tmpfs\n"
      "40 36 0:6 / /last rw unbindable - tmpfs tmpfs rw");
  REQUIRE(mounts.size() == 3);
  CHECK(mounts[0].id == 36);
  CHECK(mounts[0].parent == 35);
  CHECK(mounts[0].root == "/mnt1");
  CHECK(mounts[0].point == "/mnt 2");
  CHECK(mounts[0].source == "/dev/ro\\ot");
  CHECK(mounts[0].propagation == std::vector<std::string>{"master:1", "shared:22"});
  CHECK(mounts[0].is_shared());
  CHECK_FALSE(mounts[1].is_shared());
  CHECK(mounts[2].point == "/last");
  CHECK(parse_mountinfo("").empty());
  CHECK(!read_mountinfo("/does/not/exist"));
}

TEST_CASE("propagation by name") {
  CHECK(*parse_propagation("rslave", "x") == (MS_SLAVE | MS_REC));
  CHECK(propagation_name(MS_SHARED) == "shared");
  const auto wrong = parse_propagation("sideways", "linux.rootfsPropagation");
  REQUIRE(!wrong);
  CHECK(wrong.error().field == "linux.rootfsPropagation");
}

TEST_CASE("a file system tells what it does not like") {
  require_namespaces();
  CHECK(in_child([] {
          enter_new_namespaces(CLONE_NEWUSER | CLONE_NEWNS);
          const auto wrong = new_filesystem("tmpfs", "tmpfs", "mode=0755,size=plenty", 0);
          EXPECT(!wrong && wrong.error().code == Code::invalid);
          EXPECT(wrong.error().what.find("size") != std::string::npos);
          EXPECT(!new_filesystem("nosuchfs", "none", "", 0));
          EXPECT(*filesystem_type(EXPECT_OK(new_filesystem("tmpfs", "tmpfs", ",,mode=0700,", 0)).get()) == TMPFS_MAGIC);
        }) == "");
}

TEST_CASE("trees are copied, attached and taken away, and the working directory stays") {
  require_namespaces();
  CHECK(in_child([] {
          const UniqueFd root = own_tmpfs();
          EXPECT(chdir("/usr") == 0);
          EXPECT(mkdirat(root.get(), "a", 0755) == 0 && mkdirat(root.get(), "b", 0755) == 0);
          const UniqueFd a = EXPECT_OK(open_in_root(root.get(), "/a", O_PATH)),
                         file = EXPECT_OK(open_or_make_in_root(root.get(), "/file", MountPoint::file));
          const UniqueFd copy = EXPECT_OK(clone_tree(root.get(), "b", true));
          EXPECT_OK(change_flags(copy.get(), MS_RDONLY | MS_NOEXEC, 0, true));
          EXPECT_OK(attach(copy.get(), a.get()));
          EXPECT(mkdirat(EXPECT_OK(open_in_root(root.get(), "/a", O_PATH)).get(), "c", 0755) != 0 && errno == EROFS);
          const auto wrong = attach(copy.get(), file.get());
          EXPECT(!wrong && wrong.error().sys_errno == ENOTDIR);
          EXPECT_OK(detach(copy.get()));
          EXPECT(mkdirat(EXPECT_OK(open_in_root(root.get(), "/a", O_PATH)).get(), "c", 0755) == 0);
          EXPECT(std::filesystem::current_path() == "/usr");
        }) == "");
}

TEST_CASE("a copy that would uncover what is locked is refused, with the cure") {
  require_namespaces();
  CHECK(in_child([] {
          const UniqueFd root = own_tmpfs();
          EXPECT(mkdirat(root.get(), "inner", 0755) == 0);
          const UniqueFd inner = EXPECT_OK(open_in_root(root.get(), "inner", O_PATH)),
                         over = EXPECT_OK(new_filesystem("tmpfs", "tmpfs", "", 0));
          EXPECT_OK(attach(over.get(), inner.get()));
          const std::string failure = in_child([] {
            enter_new_namespaces(CLONE_NEWUSER | CLONE_NEWNS);
            const auto part = clone_tree(AT_FDCWD, "/mnt", false);
            EXPECT(!part && part.error().what.find("recursive") != std::string::npos);
            EXPECT(clone_tree(AT_FDCWD, "/mnt", true));
          });
          if (!failure.empty()) throw Failed{failure};
        }) == "");
}

TEST_CASE("paths stay in their root") {
  require_namespaces();
  CHECK(in_child([] {
          const UniqueFd root = own_tmpfs();
          const auto make = [&root](const char* path, MountPoint kind) {
            return open_or_make_in_root(root.get(), path, kind);
          };
          EXPECT_OK(make("/etc/deep", MountPoint::directory));
          EXPECT(symlinkat("/etc", root.get(), "absolute") == 0 && symlinkat("../../../etc", root.get(), "up") == 0);
          EXPECT(symlinkat("/usr/bin/made", root.get(), "dangling") == 0 && symlinkat("loop", root.get(), "loop") == 0);
          for (const char* path : {"/absolute/deep", "up/deep", "../../etc/deep", "/etc/../../etc/./deep/"})
            EXPECT_OK(open_in_root(root.get(), path, O_PATH));
          EXPECT(!open_in_root(root.get(), "/usr/bin", O_PATH));
          EXPECT_OK(make("dangling", MountPoint::file));
          EXPECT(faccessat(root.get(), "usr/bin/made", F_OK, 0) == 0);
          EXPECT(open_in_root_no_links(root.get(), "/absolute/deep", O_PATH).error().sys_errno == ELOOP);
          EXPECT(make("loop/x", MountPoint::file).error().sys_errno == ELOOP);
          EXPECT(make("/usr/bin/made/x", MountPoint::file).error().sys_errno == ENOTDIR);
          EXPECT_OK(change_flags(root.get(), MS_RDONLY, 0, false));
          const auto refused = make("/new", MountPoint::directory);
          EXPECT(!refused && refused.error().sys_errno == EROFS &&
                 refused.error().what.find("beforehand") != std::string::npos);
        }) == "");
}
