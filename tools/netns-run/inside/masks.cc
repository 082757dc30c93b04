// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/inside/masks.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <optional>

#include "src/base/unique_fd.h"
#include "src/linux/mount.h"
#include "src/linux/root_path.h"

namespace nh::run {
namespace {

Result<> check_null_device(int null_device) {
  struct stat about {};
  if (fstat(null_device, &about) != 0) return sys_error("looking at the host's /dev/null");
  if (S_ISCHR(about.st_mode) && major(about.st_rdev) == 1 && minor(about.st_rdev) == 3) return Ok{};
  return Error{.code = Code::denied,
               .what = "the host's /dev/null is not the character device 1:3; nothing can be masked by it"};
}

/// One inode, the root directory; some kernels count another one for it.
Result<UniqueFd> empty_directory() {
  auto tree = new_filesystem("tmpfs", "tmpfs", "nr_blocks=1,nr_inodes=1,mode=0755", MS_RDONLY);
  if (!tree) return new_filesystem("tmpfs", "tmpfs", "nr_blocks=1,nr_inodes=2,mode=0755", MS_RDONLY);
  return tree;
}

bool is_same(const struct stat& one, const struct stat& other) {
  return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/// What is not there needs no mask, and what we may not even reach the command may not either: its privilege is ours or
/// less.
bool is_out_of_reach(const Error& error) {
  return error.sys_errno == ENOENT || error.sys_errno == ENOTDIR || error.sys_errno == EACCES;
}

}  // namespace

const std::vector<std::string>& default_masked() {
  static const std::vector<std::string> paths{
      "/proc/acpi",        "/proc/interrupts", "/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
      "/proc/sched_debug", "/proc/scsi",       "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
      "/sys/firmware"};
  return paths;
}

const std::vector<std::string>& default_read_only() {
  static const std::vector<std::string> paths{"/proc/asound", "/proc/bus", "/proc/fs",
                                              "/proc/irq",    "/proc/sys", "/proc/sysrq-trigger"};
  return paths;
}

const std::vector<std::string>& host_name_services() {
  static const std::vector<std::string> paths{"/run/nscd",
                                              "/var/run/nscd",
                                              "/run/avahi-daemon",
                                              "/var/run/avahi-daemon",
                                              "/run/mdnsd",
                                              "/run/systemd/resolve/io.systemd.Resolve",
                                              "/run/systemd/resolve/io.systemd.Resolve.Monitor"};
  return paths;
}

Result<> check_absolute(const std::vector<std::string>& paths, std::string_view field) {
  for (const auto& path : paths)
    if (!path.starts_with('/'))
      return Error{.code = Code::invalid,
                   .what = std::string(field) + ": \"" + path + "\" is not an absolute path",
                   .field = std::string(field)};
  return Ok{};
}

Result<> make_read_only(int root, const std::vector<std::string>& paths) {
  for (const auto& path : paths) {
    auto target = open_in_root(root, path, O_PATH);
    if (!target && is_out_of_reach(target.error())) continue;
    const auto one = [&]() -> Result<> {
      NH_LET(place, std::move(target));
      NH_LET(tree, clone_tree(place.get(), "", true));
      NH_TRY(change_flags(tree.get(), MS_RDONLY, 0, true));
      return attach(tree.get(), place.get());
    };
    if (auto done = one(); !done) return std::move(done).error().in("read-only path " + path);
  }
  return Ok{};
}

Result<> mask(int root, const std::vector<std::string>& paths, int null_device) {
  if (paths.empty()) return Ok{};
  NH_TRY(check_null_device(null_device));
  struct stat hosts_null {};
  if (fstat(null_device, &hosts_null) != 0) return sys_error("looking at the host's /dev/null");
  std::optional<UniqueFd> empty;  // attached: only then can it be cloned
  struct stat cover {};           // of `empty`
  for (const auto& path : paths) {
    auto target = open_in_root(root, path, O_PATH);
    if (!target && is_out_of_reach(target.error())) continue;
    const auto one = [&]() -> Result<> {
      NH_LET(place, std::move(target));
      struct stat about {};
      if (fstat(place.get(), &about) != 0) return sys_error("looking at it");
      if (is_same(about, hosts_null) || (empty && is_same(about, cover))) return Ok{};
      if (!S_ISDIR(about.st_mode)) {
        NH_LET(null, clone_tree(null_device, "", false));
        return attach(null.get(), place.get());
      }
      if (!empty) {
        NH_LET(fresh, empty_directory());
        NH_TRY(attach(fresh.get(), place.get()));
        if (fstat(fresh.get(), &cover) != 0) return sys_error("looking at the cover");
        empty = std::move(fresh);
        return Ok{};
      }
      NH_LET(again, clone_tree(empty->get(), "", false));
      return attach(again.get(), place.get());
    };
    if (auto done = one(); !done) return std::move(done).error().in("masked path " + path);
  }
  return Ok{};
}

}  // namespace nh::run
