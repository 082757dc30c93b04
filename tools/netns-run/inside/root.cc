// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/inside/root.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>

#include "src/base/limits.h"
#include "src/base/log.h"
#include "src/base/unique_fd.h"
#include "src/linux/mount.h"
#include "src/linux/root_path.h"
#include "tools/netns-run/inside/device_nodes.h"
#include "tools/netns-run/inside/masks.h"
#include "tools/netns-run/inside/mount_diagnostics.h"
#include "tools/netns-run/inside/mounts.h"
#include "tools/netns-run/inside/root_switch.h"
#include "tools/netns-run/inside/sysctl.h"
#include "tools/netns-run/inside/sysfs.h"

namespace nh::run {
namespace {

/// Nothing asks for a change of the tree.
bool asks_for_nothing(const RootPlan& plan) {
  return plan.directory.empty() && !plan.read_only && plan.mounts.empty() && !plan.default_devices && plan.masked.empty() &&
         plan.read_only_paths.empty() && !plan.write_resolv_conf && !plan.write_hosts;
}

/// The host's file, cut at the size that is read of a resolv.conf; empty if it is missing.
std::string text_of_host(const char* path) {
  const UniqueFd file(open(path, O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 4096> part{};
  ssize_t size = 0;
  while (file && text.size() < limits::dns_resolv_conf && (size = read(file.get(), part.data(), part.size())) > 0)
    text.append(part.data(), static_cast<std::size_t>(size));
  return text;
}

/// Mounts that the host makes later are to be seen inside.
bool follows_host(const RootPlan& plan) {
  return (plan.propagation & (MS_SLAVE | MS_SHARED)) != 0;
}

/// From here on no mount of ours propagates to the host. Where mounts of the host are to reach us (a slave or shared root),
/// ours are slaves of the host's.
Result<> cut_off_from_host(const RootPlan& plan) {
  const UniqueFd present(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!present) return sys_error("opening the present root");
  auto done = set_propagation(present.get(), (follows_host(plan) ? MS_SLAVE : MS_PRIVATE) | MS_REC);
  if (done) return done;
  Error error = std::move(done).error().in("cutting the mounts off from the host");
  if (error.sys_errno == EINVAL) error.what += " (the present root is no mount point: are we in a chroot?)";
  if (may_go_on_without_mounting(error) && asks_for_nothing(plan)) {
    log::warning(error.message() +
                 "; going on, since AppArmor lets nothing be mounted here and nothing is shared with the host");
    return Ok{};
  }
  return explained(std::move(error));
}

/// The new root, attached; without a directory the present one.
Result<UniqueFd> open_new_root(const std::string& directory, bool whole_tree_read_only) {
  if (directory.empty()) {
    UniqueFd present(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!present) return sys_error("opening the present root");
    return present;
  }
  const UniqueFd place(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!place) return sys_error("opening it");
  NH_LET(root, clone_tree(place.get(), "", true));
  if (whole_tree_read_only) NH_TRY(change_flags(root.get(), MS_RDONLY, 0, true));
  NH_TRY(attach(root.get(), place.get()));
  return root;
}

/// A name that cannot be resolved is worth a warning; a tree that was given to us must take its files.
Result<> bind_names(int root, const RootPlan& plan, const GuestNames& names) {
  const auto bind = [&](const GuestFile& file) -> Result<> {
    auto done = bind_guest_file(root, file);
    if (done) return done;
    Error error = std::move(done).error();
    // EFBIG: a hard RLIMIT_FSIZE of the caller's, which nobody here may raise.
    if (!plan.directory.empty() && error.sys_errno != EFBIG && !may_go_on_without_mounting(error)) return error;
    log::warning(error.message() + "; the command sees the host's file");
    return Ok{};
  };
  if (plan.write_resolv_conf)
    NH_TRY(
        bind({.target = "/etc/resolv.conf", .text = resolv_conf_text(text_of_host("/etc/resolv.conf"), names.nameservers)}));
  if (plan.write_hosts) NH_TRY(bind({.target = "/etc/hosts", .text = hosts_text(text_of_host("/etc/hosts"), names)}));
  return Ok{};
}

Result<> make_default_devices(int root, const HostTree& host) {
  auto dev = open_or_make_in_root(root, "/dev", MountPoint::directory);
  if (!dev) return std::move(dev).error();
  return make_device_nodes(dev->get(), host.dev.get());
}

/// The new root's own proc, if it has one; else the host's, which tells of our namespaces just as well.
Result<> set_sysctls(int root, const Sysctls& sysctls) {
  if (sysctls.empty()) return Ok{};
  if (const auto own = open_in_root_no_links(root, "/proc/sys", O_PATH | O_DIRECTORY)) {
    const auto type = filesystem_type(own->get());
    if (type && *type == PROC_SUPER_MAGIC) return write_sysctls(sysctls, own->get());
  }
  const UniqueFd hosts(open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!hosts) return sys_error("opening /proc/sys for the sysctls");
  return write_sysctls(sysctls, hosts.get());
}

/// Where we were, if the new root has such a place; else its "/".
void go_back_to(const std::string& directory) {
  const UniqueFd root(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  const auto place = open_in_root(root.get(), directory, O_PATH | O_DIRECTORY);
  if (!place || fchdir(place->get()) != 0)
    log::debug(directory + " does not exist in the new root; the command starts in /");
}

std::string working_directory() {
  std::array<char, PATH_MAX> path{};
  return getcwd(path.data(), path.size()) != nullptr ? path.data() : "/";
}

Result<> build(const RootPlan& plan, const GuestNames& names) {
  NH_TRY(check_absolute(plan.masked, "maskedPaths"));
  NH_TRY(check_absolute(plan.read_only_paths, "readonlyPaths"));
  NH_TRY(cut_off_from_host(plan));
  if (asks_for_nothing(plan) && !plan.own_sysfs && !plan.hide_name_services) {
    if (plan.sysctls.empty()) return Ok{};
    const UniqueFd present(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    return set_sysctls(present.get(), plan.sysctls);
  }
  NH_LET(host, HostTree::open());
  const std::string before = working_directory();
  // The host's tree made read-only is a new root too: a copy of all of it, so that the originals stay writable sources of
  // binds.
  const bool whole_tree_read_only = plan.directory.empty() && plan.read_only;
  const std::string directory = whole_tree_read_only ? "/" : plan.directory;
  auto opened = open_new_root(directory, whole_tree_read_only);
  if (!opened) return std::move(opened).error().in("new root " + directory);
  const int root = opened->get();

  // Ours first: what the user mounts may lie in there.
  if (plan.own_sysfs) NH_TRY(show_own_sysfs(root));
  if (plan.hide_name_services)
    if (const auto done = mask(root, host_name_services(), host.null_device.get()); !done)
      log::warning(done.error().message() + "; the host's name services can be reached");
  NH_LET(to_seal, mount_all(root, plan.mounts, host));
  NH_TRY(bind_names(root, plan, names));
  if (plan.default_devices) NH_TRY(make_default_devices(root, host));
  NH_TRY(to_seal.seal());
  NH_TRY(set_sysctls(root, plan.sysctls));
  NH_TRY(make_read_only(root, plan.read_only_paths));
  NH_TRY(mask(root, plan.masked, host.null_device.get()));
  if (plan.read_only) {
    if (auto done = change_flags(root, MS_RDONLY, 0, false); !done)
      return std::move(done).error().in("making the root read-only");
  }
  if (directory.empty()) return plan.propagation == 0 ? Result<>(Ok{}) : set_propagation(root, plan.propagation);
  if (auto done = switch_root(root); !done) return std::move(done).error().in("new root " + directory);
  if (plan.propagation != 0) NH_TRY(set_propagation(root, plan.propagation));
  go_back_to(before);
  return Ok{};
}

}  // namespace

Result<> prepare_root(const RootPlan& plan, const GuestNames& names) {
  auto done = build(plan, names);
  // Each error names its own rule; AppArmor's restriction is behind all of them.
  if (!done && is_restricted_by_apparmor()) return explained(std::move(done).error());
  return done;
}

}  // namespace nh::run
