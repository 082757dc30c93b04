// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/inside/mount_diagnostics.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>

#include "src/base/unique_fd.h"
#include "src/linux/mountinfo.h"

namespace nh::run {
namespace {

/// One line's worth of a file of /proc: lines parted by "; ", or why not.
std::string shown(const char* path) {
  const UniqueFd file(open(path, O_RDONLY | O_CLOEXEC));
  std::array<char, 1024> text{};
  const ssize_t size = file ? read(file.get(), text.data(), text.size()) : -1;
  if (size < 0) return "unavailable (" + sys_error("").message().substr(2) + ")";
  std::string line(text.data(), static_cast<std::size_t>(size));
  while (line.ends_with('\n') || line.ends_with('\0')) line.pop_back();
  for (auto end = line.find('\n'); end != std::string::npos; end = line.find('\n', end)) line.replace(end, 1, "; ");
  return line.empty() ? "empty" : line;
}

std::string mount_at_root() {
  const auto mounts = read_mountinfo();
  if (!mounts) return "unavailable";
  for (const auto& mount : *mounts) {
    if (mount.point != "/") continue;
    std::string line = mount.type + " " + mount.options;
    for (const auto& tag : mount.propagation) line += " " + tag;
    return line + (mount.propagation.empty() ? " (private)" : "");
  }
  return "none visible (are we in a chroot?)";
}

bool is_refusal(const Error& error) {
  return error.sys_errno == EPERM || error.sys_errno == EACCES;
}

}  // namespace

bool is_restricted_by_apparmor() {
  return shown("/proc/self/attr/current").starts_with("unprivileged_userns");
}

bool may_go_on_without_mounting(const Error& error) {
  if (!is_refusal(error) || !is_restricted_by_apparmor()) return false;
  const auto mounts = read_mountinfo();
  if (!mounts) return false;
  for (const auto& mount : *mounts)
    if (mount.point == "/" && mount.is_shared()) return false;
  return true;
}

Error explained(Error error) {
  if (!is_refusal(error)) return error;
  std::string text = error.message() + "\n  diagnostics:";
  const auto line = [&text](std::string_view name, const std::string& value) {
    text += "\n  - " + std::string(name) + ": " + value;
  };
  line("effective uid and gid", std::to_string(geteuid()) + " " + std::to_string(getegid()));
  line("/proc/self/uid_map", shown("/proc/self/uid_map"));
  line("/proc/self/gid_map", shown("/proc/self/gid_map"));
  line("/proc/self/setgroups", shown("/proc/self/setgroups"));
  line("AppArmor profile (/proc/self/attr/current)", shown("/proc/self/attr/current"));
  line("mount at /", mount_at_root());
  line("kernel.apparmor_restrict_unprivileged_userns", shown("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"));
  line("kernel.apparmor_restrict_unprivileged_unconfined",
       shown("/proc/sys/kernel/apparmor_restrict_unprivileged_unconfined"));
  if (is_restricted_by_apparmor())
    text +=
        "\n  AppArmor on this host (Ubuntu 23.10 and later) lets unprivileged users make user namespaces but denies every "
        "mount in them. "
        "Give this program an AppArmor profile with `userns,`, or ask the administrator for sysctl "
        "kernel.apparmor_restrict_unprivileged_userns=0";
  else
    text +=
        "\n  Mounting needs CAP_SYS_ADMIN in the user namespace that owns the mount namespace: a new user namespace goes "
        "with a new mount "
        "namespace. If these are new, a security module or a seccomp filter of the surrounding container forbids it";
  return Error{.code = Code::denied, .sys_errno = 0, .what = std::move(text), .field = std::move(error.field)};
}

}  // namespace nh::run
