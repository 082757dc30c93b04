// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/inside/sysfs.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <string>
#include <vector>

#include "src/base/log.h"
#include "src/base/unique_fd.h"
#include "src/linux/mount.h"
#include "src/linux/mountinfo.h"
#include "src/linux/root_path.h"

namespace nh::run {
namespace {

constexpr std::string_view sys = "/sys";

struct Submount {
  std::string point;
  UniqueFd tree;
};

/// The topmost mounts below /sys, copied with all below them.
Result<std::vector<Submount>> copy_submounts(int root) {
  NH_LET(mounts, read_mountinfo());
  std::vector<std::string> points;
  for (const auto& mount : mounts)
    if (mount.point.starts_with(std::string(sys) + "/")) points.push_back(mount.point);
  std::sort(points.begin(), points.end());
  std::vector<Submount> submounts;
  for (const std::string& point : points) {
    if (!submounts.empty() && (point + "/").starts_with(submounts.back().point + "/")) continue;
    const auto place = open_in_root_no_links(root, point, O_PATH);
    if (!place) continue;  // hidden below another mount, or out of our reach
    NH_LET(tree, clone_tree(place->get(), "", true));
    submounts.push_back({.point = point, .tree = std::move(tree)});
  }
  return submounts;
}

/// The kernel demands of a fresh one what is locked on the host's: read-only stays so, and how access times are kept.
unsigned long flags_like(int hosts) {
  unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  struct statvfs about {};
  if (fstatvfs(hosts, &about) != 0) return flags;
  if ((about.f_flag & ST_RDONLY) != 0) flags |= MS_RDONLY;
  if ((about.f_flag & ST_NOATIME) != 0) flags |= MS_NOATIME;
  return flags;
}

}  // namespace

Result<> show_own_sysfs(int root) {
  const auto hosts = open_in_root_no_links(root, sys, O_PATH | O_DIRECTORY);
  if (!hosts) return Ok{};
  const auto type = filesystem_type(hosts->get());
  if (!type || *type != SYSFS_MAGIC) return Ok{};
  const auto fresh = new_filesystem("sysfs", "sysfs", "", flags_like(hosts->get()));
  if (!fresh) {
    log::debug("/sys stays the host's, with its network interfaces: " + fresh.error().message());
    return Ok{};
  }
  auto submounts = copy_submounts(root);
  if (!submounts) {
    log::debug("/sys stays the host's: " + submounts.error().message());
    return Ok{};
  }
  NH_TRY(attach(fresh->get(), hosts->get()));
  for (const Submount& submount : *submounts) {
    const auto place = open_in_root_no_links(root, submount.point, O_PATH);
    auto done = place ? attach(submount.tree.get(), place->get()) : sys_error(place.error().sys_errno, "opening it");
    if (!done) log::debug(submount.point + " is left out of the new /sys: " + done.error().message());
  }
  return Ok{};
}

}  // namespace nh::run
