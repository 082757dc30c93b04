// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/inside/masks.h"

#include "src/linux/mountinfo.h"
#include "tests/netns_run/tree.h"
#include "tests/support/catch.h"
#include "tools/netns-run/inside/root.h"

using namespace nh;
using namespace nh::run;
using namespace nh::test;

namespace {

std::size_t mounts_on(const std::string& point) {
  std::size_t count = 0;
  for (const auto& mount : EXPECT_OK(read_mountinfo())) count += mount.point == point ? 1 : 0;
  return count;
}

}  // namespace

TEST_CASE("masked directories and files are empty, missing ones are left out, one given twice is covered once") {
  require_namespaces();
  const Tree tree;
  tree.make_directory("data/full/of/things");
  CHECK(as_root_inside([&] {
          RootPlan plan = plan_for(tree);
          plan.masked = {"/data/full", "/etc", "/marker", "/etc/not/there", "/not/there", "/marker", "/proc/uptime"};
          EXPECT_OK(prepare_root(plan, {}));
          EXPECT(entries_of("/data/full") == 0);
          EXPECT(entries_of("/etc") == 0);
          EXPECT(writing("/data/full/new") == EROFS);
          EXPECT(read_file("/marker").empty());
          EXPECT(read_file("/proc/uptime").empty());
          EXPECT(mounts_on("/marker") == 1);
        }) == "");
}

TEST_CASE("read-only paths refuse writes, with all that is mounted below, and keep their other flags") {
  require_namespaces();
  const Tree tree;
  CHECK(as_root_inside(
            [&] {
              RootPlan plan = plan_for(tree);
              plan.read_only_paths = {"/data", "/marker", "/not/there", "/proc/sys"};
              EXPECT_OK(prepare_root(plan, {}));
              EXPECT(writing("/data/new") == EROFS);
              EXPECT(writing("/marker") == EROFS);
              EXPECT(writing("/etc/new") == 0);
              EXPECT(writing("/proc/sys/net/ipv4/ip_forward") == EROFS);
              std::string options;
              for (const auto& mount : EXPECT_OK(read_mountinfo()))
                if (mount.point == "/data") options = mount.options;
              EXPECT(options == "ro,nosuid,noexec,relatime");
            },
            [&] { EXPECT(mount("tmpfs", tree.at("data").c_str(), "tmpfs", MS_NOSUID | MS_NOEXEC, nullptr) == 0); }) == "");
}

TEST_CASE("a masked path that is a link covers what it leads to inside the root, never outside") {
  require_namespaces();
  const Tree tree;
  const Tree outside;
  tree.link("absolute", outside.at("marker"));
  tree.link("relative", "../../../../../.." + outside.at("marker"));
  tree.link("evil", "/etc/secret");
  tree.link("magic", "/proc/self/root/etc/secret");
  CHECK(as_root_inside([&] {
          RootPlan plan = plan_for(tree);
          plan.masked = {"/absolute", "/relative", "/evil"};
          const UniqueFd kept(open(outside.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
          EXPECT_OK(prepare_root(plan, {}));
          EXPECT(read_file("/etc/secret").empty());
          const UniqueFd marker(openat(kept.get(), "marker", O_RDONLY | O_CLOEXEC));
          char byte = 0;
          EXPECT(read(marker.get(), &byte, 1) == 1 && byte == 'i');
        }) == "");
  CHECK(as_root_inside([&] {
          RootPlan plan = plan_for(tree);
          plan.masked = {"/magic"};  // a link of /proc is not followed: an error, not a hole
          const auto done = prepare_root(plan, {});
          EXPECT(!done && done.error().sys_errno == ELOOP);
        }) == "");
}

TEST_CASE("what is read-only can be masked too, and the mask wins") {
  require_namespaces();
  const Tree tree;
  CHECK(as_root_inside([&] {
          RootPlan plan = plan_for(tree);
          plan.read_only_paths = {"/etc"};
          plan.masked = {"/etc/secret"};
          EXPECT_OK(prepare_root(plan, {}));
          EXPECT(read_file("/etc/secret").empty());
          EXPECT(writing("/etc/new") == EROFS);
        }) == "");
}

TEST_CASE("relative paths are errors that name the list") {
  const auto wrong = check_absolute({"/proc", "proc/kcore"}, "maskedPaths");
  REQUIRE(!wrong);
  CHECK(wrong.error().code == Code::invalid);
  CHECK(wrong.error().field == "maskedPaths");
  CHECK(wrong.error().what.find("proc/kcore") != std::string::npos);
  CHECK(check_absolute(default_masked(), "maskedPaths"));
  CHECK(check_absolute(default_read_only(), "readonlyPaths"));
}

TEST_CASE("nothing is masked by a device that is not /dev/null") {
  const UniqueFd zero(open("/dev/zero", O_PATH | O_CLOEXEC)), root(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  const auto done = mask(root.get(), {"/does/not/exist"}, zero.get());
  REQUIRE(!done);
  CHECK(done.error().what.find("1:3") != std::string::npos);
}
