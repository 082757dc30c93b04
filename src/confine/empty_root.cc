// SPDX-License-Identifier: BSD-3-Clause
#include "src/confine/empty_root.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "src/base/unique_fd.h"

namespace nh {
namespace {

// The directory on which the new root is mounted while it is built. Any would do; this one always exists.
constexpr const char* build_place = "/proc";
// Just enough for the directories and mount points below.
constexpr const char* tmpfs_options = "mode=0755,size=4k,nr_inodes=32";
constexpr unsigned long tmpfs_flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
constexpr const char* resolv_conf = "/etc/resolv.conf";

/// A detached mount, to be attached at `place` in the new root.
struct Tree {
  UniqueFd fd;
  std::string place = {};
  bool directory = true;
};

Result<UniqueFd> clone_tree(const std::string& path, std::uint64_t attributes) {
  UniqueFd tree(open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  if (!tree) return sys_error("cloning the mount of " + path);
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | attributes;
  if (mount_setattr(tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) != 0) {
    Error error = sys_error("restricting the mount of " + path);
    if (error.sys_errno == ENOSYS) error.what += " (this needs Linux 5.12)";
    return error;
  }
  return tree;
}

// The descriptor was opened in the mount namespace that we have left, all of which could be reached from it by "..".
Result<> replace_directory(const KeptDirectory& kept) {
  const int fd = kept.fd;
  char path[PATH_MAX] = {};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  if (readlink(link.c_str(), path, sizeof path - 1) < 0) return sys_error("finding the path of a directory that is kept");
  NH_LET(tree, clone_tree(path, kept.writable ? 0 : MOUNT_ATTR_RDONLY));
  struct stat before {
  }, now{};
  if (fstat(fd, &before) != 0 || fstat(tree.get(), &now) != 0) return sys_error(std::string("examining ") + path);
  if (before.st_dev != now.st_dev || before.st_ino != now.st_ino)
    return Error{.code = Code::missing, .sys_errno = 0, .what = std::string(path) + " is another directory now"};
  if (dup3(tree.get(), fd, O_CLOEXEC) < 0) return sys_error(std::string("replacing the descriptor of ") + path);
  return Ok{};
}

bool below(const std::filesystem::path& path, const char* directory) {
  return path.string().starts_with(std::string(directory) + "/");
}

bool bound_anyway(const std::filesystem::path& path) {
  return below(path, "/etc") || below(path, "/run");
}

/// resolv.conf is a link out of /etc and /run: its target is made in the new root.
struct Elsewhere {
  std::string place;          ///< the link's target; empty: nothing is to be done
  std::string leads_to = {};  ///< `place` becomes a link to this bound path; empty: `place` is the file itself, bound
};

Elsewhere resolv_conf_elsewhere() {
  std::error_code failed;
  const std::filesystem::path link = std::filesystem::read_symlink(resolv_conf, failed);
  if (failed) return {};
  const std::filesystem::path place = (std::filesystem::path("/etc") / link).lexically_normal();
  const std::filesystem::path real = std::filesystem::canonical(resolv_conf, failed);
  if (failed || bound_anyway(place)) {
    // A link in there may point outside again.
    if (failed || bound_anyway(real)) return {};
    return {.place = real};
  }
  // For example /var/run/..., where /var/run is a link to /run.
  if (bound_anyway(real)) return {.place = place, .leads_to = real};
  return {.place = place};
}

Result<std::vector<Tree>> resolver_trees(const Elsewhere& elsewhere) {
  std::vector<Tree> trees;
  for (const char* path : {"/etc", "/run"}) {
    if (access(path, F_OK) != 0) continue;
    NH_LET(tree, clone_tree(path, MOUNT_ATTR_RDONLY));
    trees.push_back({.fd = std::move(tree), .place = path + 1});
  }
  if (!elsewhere.place.empty() && elsewhere.leads_to.empty()) {
    NH_LET(tree, clone_tree(elsewhere.place, MOUNT_ATTR_RDONLY));
    trees.push_back({.fd = std::move(tree), .place = elsewhere.place.substr(1), .directory = false});
  }
  return trees;
}

// The working directory is the new root.
Result<> furnish(const std::vector<Tree>& trees, const Elsewhere& elsewhere) {
  std::error_code failed;
  const auto make_parents = [&failed](const std::filesystem::path& place) {
    if (place.has_parent_path()) std::filesystem::create_directories(place.parent_path(), failed);
  };
  for (const Tree& tree : trees) {
    make_parents(tree.place);
    if (tree.directory)
      std::filesystem::create_directory(tree.place, failed);
    else if (!UniqueFd(open(tree.place.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0444)))
      return sys_error("making the mount point " + tree.place);
    if (failed) return sys_error(failed.value(), "making the mount point " + tree.place);
    if (move_mount(tree.fd.get(), "", AT_FDCWD, tree.place.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0)
      return sys_error("mounting " + tree.place);
  }
  if (!elsewhere.leads_to.empty()) {
    make_parents(elsewhere.place.substr(1));
    if (!failed) std::filesystem::create_symlink(elsewhere.leads_to, elsewhere.place.substr(1), failed);
    if (failed) return sys_error(failed.value(), "making the link " + elsewhere.place);
  }
  // Hides the sockets of user sessions: a read-only mount does not prevent connect(2).
  if (access("run/user", F_OK) == 0 &&
      mount("tmpfs", "run/user", "tmpfs", tmpfs_flags | MS_RDONLY, "mode=0755,size=4k,nr_inodes=1") != 0)
    return sys_error("covering /run/user");
  return Ok{};
}

// The working directory becomes the root.
Result<> switch_root() {
  if (syscall(SYS_pivot_root, ".", ".") == 0) {
    // The old root is now mounted on top of the new one.
    if (umount2(".", MNT_DETACH) != 0) return sys_error("detaching the old root");
  } else {
    // The initial ramfs cannot be pivoted (pivot_root(2), EINVAL): mount the new root over it.
    if (errno != EINVAL) return sys_error("changing the root");
    if (mount(".", "/", nullptr, MS_MOVE, nullptr) != 0) return sys_error("moving the new root over the old one");
    if (chroot(".") != 0) return sys_error("changing the root");
  }
  if (chdir("/") != 0) return sys_error("changing to the new root");
  return Ok{};
}

}  // namespace

Result<> enter_empty_root(RootContent content, std::span<const KeptDirectory> directories) {
  // Keeps the mount namespace alive until the end of this function: under podman we may be the only process in it, and without
  // it its mounts would be detached, so that a descriptor of `directories` would have the path "/".
  const UniqueFd before(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
  if (!before) return sys_error("opening our mount namespace");
  if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) != 0) return sys_error("making a mount namespace");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0)
    return sys_error("keeping mounts to ourselves (is our root a chroot?)");
  for (const KeptDirectory& kept : directories)
    if (kept.fd >= 0) NH_TRY(replace_directory(kept));
  std::vector<Tree> trees;
  Elsewhere elsewhere;
  if (content == RootContent::resolver_configuration) {
    elsewhere = resolv_conf_elsewhere();
    NH_LET(found, resolver_trees(elsewhere));
    trees = std::move(found);
  }
  if (mount("tmpfs", build_place, "tmpfs", tmpfs_flags, tmpfs_options) != 0) return sys_error("mounting the new root");
  if (chdir(build_place) != 0) return sys_error("changing to the new root");
  if (content == RootContent::resolver_configuration) NH_TRY(furnish(trees, elsewhere));
  NH_TRY(switch_root());
  if (mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | tmpfs_flags, nullptr) != 0)
    return sys_error("making the new root read-only");
  return Ok{};
}

}  // namespace nh
