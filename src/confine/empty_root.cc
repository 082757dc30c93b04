// SPDX-License-Identifier: BSD-3-Clause
#include "src/confine/empty_root.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/unique_fd.h"

namespace nh {
namespace {

// The directory on which the new root is mounted while it is built. Any would do; this one always exists.
constexpr const char* build_place = "/proc";
// Just enough for the directories and mount points below.
constexpr const char* tmpfs_options = "mode=0755,size=4k,nr_inodes=64";
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

bool lies_in(const std::string& path, const std::string& directory) {
  return path == directory || path.starts_with(directory + "/");
}

/// Top directories that hold what belongs to users, services and the system: nothing of them is shown but the directory that
/// resolv.conf lies in. Any other one (/nix, /gnu, /opt) is shown whole, since a link into it may be changed to lead to another
/// place there, as NixOS does with each new configuration.
constexpr std::array<std::string_view, 12> private_tops{"boot", "dev", "home", "media", "mnt", "proc",
                                                        "root", "srv", "sys",  "tmp",   "usr", "var"};

/// What must be there for a path to be followed, now and after changes, as path_resolution(7) does it: directories with all
/// below them, single files in "/", and links that lie outside of these.
class ResolverPlaces {
 public:
  ResolverPlaces() {
    for (const char* path : {"/etc", "/run", resolv_conf}) follow(path);
  }

  std::vector<std::string> directories;
  std::vector<std::string> files;
  std::map<std::string, std::string> links;  ///< what each says, by its place

  bool has(const std::string& place) const {
    return std::any_of(directories.begin(), directories.end(),
                       [&place](const std::string& directory) { return lies_in(place, directory); });
  }

 private:
  using Path = std::filesystem::path;
  static constexpr int links_at_most = 40;  // as the kernel follows

  void follow(const std::string& path) {
    std::vector<std::string> rest;  // its end comes first
    const auto go_on_with = [&rest](const Path& more) {
      const std::vector<std::string> names(more.begin(), more.end());
      rest.insert(rest.end(), names.rbegin(), names.rend());
    };
    go_on_with(Path(path).relative_path());
    std::string here;  // a directory without links on the way; "" is "/"
    for (int links_met = 0; !rest.empty() && links_met <= links_at_most;) {
      const std::string name = rest.back();
      rest.pop_back();
      if (name.empty() || name == ".") continue;
      if (name == "..") {
        here.resize(here.empty() ? 0 : here.rfind('/'));
        continue;
      }
      const std::string next = here + "/" + name;
      std::error_code failed;
      const auto status = std::filesystem::symlink_status(next, failed);
      if (std::filesystem::is_directory(status)) {
        here = next;
        continue;
      }
      // The last name may come to lead elsewhere, or to exist.
      if (rest.empty()) show(here, next);
      if (!std::filesystem::is_symlink(status)) return;
      const Path text = std::filesystem::read_symlink(next, failed);
      if (failed) return;
      links[next] = text;
      ++links_met;
      if (text.is_absolute()) here.clear();
      go_on_with(text.relative_path());
    }
    if (rest.empty() && path != resolv_conf) add(here);
  }

  /// The directory of a file, or the file alone where that is "/".
  void show(const std::string& directory, const std::string& file) {
    if (directory.empty()) {
      std::error_code failed;
      if (std::filesystem::is_regular_file(std::filesystem::symlink_status(file, failed))) files.push_back(file);
      return;
    }
    const std::string top = directory.substr(1, directory.find('/', 1) - 1);
    const bool is_private = std::find(private_tops.begin(), private_tops.end(), top) != private_tops.end();
    add(is_private ? directory : "/" + top);
  }

  void add(const std::string& directory) {
    if (has(directory)) return;
    std::erase_if(directories, [&directory](const std::string& one) { return lies_in(one, directory); });
    directories.push_back(directory);
  }
};

Result<std::vector<Tree>> resolver_trees(const ResolverPlaces& places) {
  std::vector<Tree> trees;
  for (const std::string& path : places.directories) {
    NH_LET(tree, clone_tree(path, MOUNT_ATTR_RDONLY));
    trees.push_back({.fd = std::move(tree), .place = path.substr(1)});
  }
  for (const std::string& path : places.files) {
    NH_LET(tree, clone_tree(path, MOUNT_ATTR_RDONLY));
    trees.push_back({.fd = std::move(tree), .place = path.substr(1), .directory = false});
  }
  return trees;
}

// The working directory is the new root.
Result<> furnish(const std::vector<Tree>& trees, const ResolverPlaces& places) {
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
  for (const auto& [place, text] : places.links) {
    if (places.has(place)) continue;
    make_parents(place.substr(1));
    if (!failed) std::filesystem::create_symlink(text, place.substr(1), failed);
    if (failed) return sys_error(failed.value(), "making the link " + place);
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
  std::optional<ResolverPlaces> places;
  if (content == RootContent::resolver_configuration) {
    places.emplace();
    NH_LET(found, resolver_trees(*places));
    trees = std::move(found);
  }
  if (mount("tmpfs", build_place, "tmpfs", tmpfs_flags, tmpfs_options) != 0) return sys_error("mounting the new root");
  if (chdir(build_place) != 0) return sys_error("changing to the new root");
  if (places) NH_TRY(furnish(trees, *places));
  NH_TRY(switch_root());
  if (mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | tmpfs_flags, nullptr) != 0)
    return sys_error("making the new root read-only");
  return Ok{};
}

}  // namespace nh
