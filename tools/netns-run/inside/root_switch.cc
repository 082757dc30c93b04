// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/inside/root_switch.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <string>

#include "src/base/log.h"
#include "src/base/unique_fd.h"
#include "src/linux/mount.h"
#include "src/linux/mountinfo.h"

namespace nh::run {
namespace {

bool lies_in(const std::string& path, const std::string& directory) {
  return directory == "/" ||
         (path.starts_with(directory) && (path.size() == directory.size() || path[directory.size()] == '/'));
}

/// Where the new root is mounted, as mountinfo names it: the path of the descriptor.
Result<std::string> path_of(int root) {
  const UniqueFd before(open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (fchdir(root) != 0) return sys_error("entering the new root");
  std::string path(PATH_MAX, '\0');
  const bool found = getcwd(path.data(), path.size()) != nullptr;
  const int err = errno;
  if (before && fchdir(before.get()) != 0) return sys_error("going back to the working directory");
  if (!found) return sys_error(err, "finding out where the new root is mounted");
  path.resize(path.find('\0'));
  return path;
}

Result<> cover_proc_and_sysfs_outside(const std::string& new_root) {
  NH_LET(mounts, read_mountinfo());
  for (const auto& mount : mounts) {
    if ((mount.type != "proc" && mount.type != "sysfs") || lies_in(mount.point, new_root)) continue;
    if (umount2(mount.point.c_str(), MNT_DETACH) == 0) continue;
    if (errno == ENOENT) continue;  // hidden by another mount, or gone with the one before
    // A locked mount cannot be taken away; it can be covered.
    const UniqueFd place(open(mount.point.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!place) continue;  // a single file of it: nothing can be mounted from that
    NH_LET(cover, new_filesystem("tmpfs", "tmpfs", "nr_blocks=1,mode=0755", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC));
    if (auto done = attach(cover.get(), place.get()); !done) return std::move(done).error().in("covering " + mount.point);
  }
  return Ok{};
}

}  // namespace

Result<> pivot_into(int root) {
  const UniqueFd old_root(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!old_root) return sys_error("opening the present root");
  if (fchdir(root) != 0) return sys_error("entering the new root");
  if (syscall(SYS_pivot_root, ".", ".") != 0) return sys_error("pivot_root to the new root");
  // Both are "/" now, the old one on top. What is taken away must not be taken away at the host, should anything still be
  // shared.
  if (fchdir(old_root.get()) != 0) return sys_error("entering the old root");
  NH_TRY(set_propagation(old_root.get(), MS_SLAVE | MS_REC));
  if (umount2(".", MNT_DETACH) != 0) return sys_error("taking the old root away");
  if (chdir("/") != 0) return sys_error("entering the new root after pivot_root");
  return Ok{};
}

Result<> move_into(int root) {
  NH_LET(path, path_of(root));
  NH_TRY(cover_proc_and_sysfs_outside(path));
  const UniqueFd place(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!place) return sys_error("opening the present root");
  if (auto done = attach(root, place.get()); !done) return std::move(done).error().in("moving the new root over \"/\"");
  if (fchdir(root) != 0) return sys_error("entering the new root");
  if (chroot(".") != 0) return sys_error("chroot to the new root");
  if (chdir("/") != 0) return sys_error("entering the new root after chroot");
  return Ok{};
}

Result<> switch_root(int root) {
  auto pivoted = pivot_into(root);
  if (pivoted || pivoted.error().sys_errno != EINVAL) return pivoted;
  log::debug("pivot_root is not possible here (" + pivoted.error().message() +
             "): the new root is moved over the present one");
  return move_into(root);
}

}  // namespace nh::run
