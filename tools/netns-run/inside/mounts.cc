// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/inside/mounts.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <string_view>

#include "src/base/log.h"
#include "src/linux/mount.h"
#include "src/linux/root_path.h"
#include "tools/netns-run/inside/device_nodes.h"

namespace nh::run {
namespace {

using Kind = MountSpec::Kind;

/// What the kernel demands of a fresh one (fs_context.c, super.c: the owner of the namespace that it shows; namespace.c,
/// mount_too_revealing()).
std::string_view rule_of(Kind kind) {
  switch (kind) {
    case Kind::proc:
      return "a fresh proc needs a pid namespace of our own, and a /proc of the host with nothing mounted over parts of it";
    case Kind::sysfs:
      return "a fresh sysfs needs a network namespace of our own, and a /sys of the host with nothing mounted over parts of "
             "it";
    case Kind::mqueue:
      return "a fresh mqueue needs an ipc namespace of our own";
    case Kind::cgroup2:
      return "a fresh cgroup2 needs a cgroup namespace of our own";
    default:
      return "needs CAP_SYS_ADMIN in the user namespace that owns our mount namespace";
  }
}

std::string_view type_of(Kind kind) {
  switch (kind) {
    case Kind::bind:
      return "bind";
    case Kind::proc:
      return "proc";
    case Kind::sysfs:
      return "sysfs";
    case Kind::tmpfs:
    case Kind::dev:
      return "tmpfs";
    case Kind::devpts:
      return "devpts";
    case Kind::mqueue:
      return "mqueue";
    case Kind::cgroup2:
      return "cgroup2";
  }
  return "";
}

Error invalid(std::string what) {
  return Error{.code = Code::invalid, .what = std::move(what), .field = "mounts"};
}

/// "/a//b/./c" to "/a/b/c"; ".." counts back, as far as words alone can tell.
std::string without_dots(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const auto end = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
  }
  std::string clean;
  for (const auto part : parts) clean += "/" + std::string(part);
  return clean.empty() ? "/" : clean;
}

Result<> check_target(const MountSpec& mount) {
  // Files of /proc that tell numbers: lxcfs and the like put their own over them. The list is runc's.
  constexpr std::array<std::string_view, 10> may_be_covered{"/proc/cpuinfo",
                                                            "/proc/diskstats",
                                                            "/proc/meminfo",
                                                            "/proc/stat",
                                                            "/proc/swaps",
                                                            "/proc/uptime",
                                                            "/proc/loadavg",
                                                            "/proc/slabinfo",
                                                            "/proc/sys/kernel/ns_last_pid",
                                                            "/proc/sys/crypto/fips_enabled"};
  if (!mount.target.starts_with('/'))
    return invalid("mount on \"" + mount.target + "\": the target must be an absolute path");
  const std::string clean = without_dots(mount.target);
  if (clean == "/") return invalid("mount on " + mount.target + ": \"/\" itself is the root's, not a mount's");
  if (clean.starts_with("/proc/") && std::find(may_be_covered.begin(), may_be_covered.end(), clean) == may_be_covered.end())
    return invalid("mount on " + mount.target +
                   ": nothing may be mounted below /proc but over a few files that tell numbers");
  return Ok{};
}

bool is_directory(int fd) {
  struct stat about {};
  return fstat(fd, &about) == 0 && S_ISDIR(about.st_mode);
}

Result<UniqueFd> open_target(int root, const MountSpec& mount, MountPoint point) {
  if (mount.kind != Kind::proc && mount.kind != Kind::sysfs) return open_or_make_in_root(root, mount.target, point);
  auto real = open_in_root_no_links(root, mount.target, O_PATH | O_DIRECTORY);
  if (real || real.error().sys_errno != ENOENT) return real;
  NH_TRY(open_or_make_in_root(root, mount.target, point));
  return open_in_root_no_links(root, mount.target, O_PATH | O_DIRECTORY);
}

/// The host's own, where a fresh one is refused.
Result<UniqueFd> bound_from_host(const std::string& path, unsigned long flags) {
  NH_LET(tree, clone_tree(AT_FDCWD, path, true));
  NH_TRY(change_flags(tree.get(), flags, 0, true));
  return tree;
}

Result<UniqueFd> fresh_or_hosts(const MountSpec& mount, const std::string& path, unsigned long flags_if_bound) {
  const std::string type(type_of(mount.kind));
  auto fresh =
      new_filesystem(type, mount.source.empty() ? type : mount.source, mount.data, mount.set_flags | mount.top_set_flags);
  if (fresh || fresh.error().sys_errno != EPERM) return fresh;
  auto bound = bound_from_host(path, mount.set_flags | mount.top_set_flags | flags_if_bound);
  if (!bound) {
    Error error = std::move(bound).error();
    error.what =
        "neither a fresh " + type + " (" + std::string(rule_of(mount.kind)) + ") nor the host's " + path + ": " + error.what;
    return error;
  }
  log::warning(mount.target + " is the host's " + path + ": the kernel refused a fresh " + type + " (" +
               std::string(rule_of(mount.kind)) + ")");
  return bound;
}

/// A host with the controllers of cgroup v1 has a tmpfs there, and shows a fresh cgroup2 hardly anything: then it is the
/// host's too.
Result<UniqueFd> cgroup_tree(const MountSpec& mount) {
  const std::string hosts = "/sys/fs/cgroup";
  const UniqueFd present(open(hosts.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const auto type = present ? filesystem_type(present.get()) : Result<long>(long{CGROUP2_SUPER_MAGIC});
  if (type && *type != CGROUP2_SUPER_MAGIC) return bound_from_host(hosts, mount.set_flags | mount.top_set_flags | MS_RDONLY);
  return fresh_or_hosts(mount, hosts, MS_RDONLY);
}

Result<UniqueFd> bind_tree(const MountSpec& mount) {
  NH_LET(tree, clone_tree(AT_FDCWD, mount.source, mount.recursive));
  NH_TRY(change_flags(tree.get(), mount.set_flags, mount.clear_flags, mount.recursive));
  NH_TRY(change_flags(tree.get(), mount.top_set_flags, mount.top_clear_flags, false));
  return tree;
}

/// Read-only comes when everything is in place.
unsigned long flags_of_tmpfs(const MountSpec& mount) {
  return (mount.set_flags | mount.top_set_flags) & ~static_cast<unsigned long>(MS_RDONLY);
}

/// The mount, detached.
Result<UniqueFd> make_tree(const MountSpec& mount) {
  const std::string data = mount.data.empty() ? "" : "," + mount.data;
  switch (mount.kind) {
    case Kind::bind:
      return bind_tree(mount);
    case Kind::proc:
      return fresh_or_hosts(mount, "/proc", 0);
    case Kind::sysfs:
      return fresh_or_hosts(mount, "/sys", MS_RDONLY);
    case Kind::cgroup2:
      return cgroup_tree(mount);
    case Kind::tmpfs:
      return new_filesystem("tmpfs", mount.source.empty() ? "tmpfs" : mount.source, mount.data, flags_of_tmpfs(mount));
    case Kind::dev:
      return new_filesystem("tmpfs", "tmpfs", "mode=0755" + data, flags_of_tmpfs(mount) | MS_NOSUID | MS_STRICTATIME);
    case Kind::devpts:
      return new_filesystem("devpts", "devpts", mount.data.empty() ? "newinstance,ptmxmode=0666,mode=0620" : mount.data,
                            mount.set_flags | mount.top_set_flags);
    case Kind::mqueue:
      return new_filesystem("mqueue", "mqueue", mount.data, mount.set_flags | mount.top_set_flags);
  }
  return invalid("a mount of no kind");
}

/// What the minimal /dev has besides its nodes.
Result<> fill_dev(int dev, const HostTree& host) {
  NH_TRY(make_device_nodes(dev, host.dev.get()));
  const MountSpec pts{
      .kind = Kind::devpts, .source = "devpts", .target = "/pts", .set_flags = MS_NOSUID | MS_NOEXEC, .data = {}};
  const MountSpec shm{.kind = Kind::tmpfs,
                      .source = "shm",
                      .target = "/shm",
                      .set_flags = MS_NOSUID | MS_NODEV | MS_NOEXEC,
                      .data = "mode=1777"};
  for (const MountSpec* below : {&pts, &shm}) {
    NH_LET(tree, make_tree(*below));
    NH_LET(target, open_or_make_in_root(dev, below->target, MountPoint::directory));
    NH_TRY(attach(tree.get(), target.get()));
  }
  return Ok{};
}

Result<UniqueFd> mount_one(int root, const MountSpec& mount, const HostTree& host) {
  NH_TRY(check_target(mount));
  auto made = make_tree(mount);
  if (!made && mount.kind == Kind::bind && mount.optional && made.error().sys_errno == ENOENT) return UniqueFd();
  if (!made) {
    Error error = std::move(made).error();
    if (error.sys_errno == EPERM && mount.kind != Kind::bind) error.what += " (" + std::string(rule_of(mount.kind)) + ")";
    return error;
  }
  UniqueFd tree = std::move(*made);
  NH_LET(target, open_target(root, mount, is_directory(tree.get()) ? MountPoint::directory : MountPoint::file));
  NH_TRY(attach(tree.get(), target.get()));
  if (mount.kind == Kind::dev) NH_TRY(fill_dev(tree.get(), host));
  if (mount.propagation != 0) NH_TRY(set_propagation(tree.get(), mount.propagation));
  return tree;
}

bool is_sealed_later(const MountSpec& mount) {
  return (mount.kind == Kind::tmpfs || mount.kind == Kind::dev) &&
         ((mount.set_flags | mount.top_set_flags) & MS_RDONLY) != 0;
}

}  // namespace

Result<HostTree> HostTree::open() {
  HostTree host;
  host.dev.reset(::open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!host.dev) return sys_error("opening the host's /dev");
  host.null_device.reset(::open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!host.null_device) return sys_error("opening the host's /dev/null");
  return host;
}

Result<> MountsToSeal::seal() {
  for (const auto& mount : mounts) NH_TRY(change_flags(mount.get(), MS_RDONLY, 0, false));
  return Ok{};
}

Result<MountsToSeal> mount_all(int root, const std::vector<MountSpec>& mounts, const HostTree& host) {
  MountsToSeal to_seal;
  for (const auto& mount : mounts) {
    auto done = mount_one(root, mount, host);
    if (!done) {
      const std::string what = mount.kind == Kind::bind ? "bind of " + mount.source : std::string(type_of(mount.kind));
      Error error = std::move(done).error();
      return error.code == Code::invalid && error.field == "mounts"
                 ? std::move(error)
                 : std::move(error).in("mounting a " + what + " on " + mount.target);
    }
    if (*done && is_sealed_later(mount)) to_seal.mounts.push_back(std::move(*done));
  }
  return to_seal;
}

}  // namespace nh::run
