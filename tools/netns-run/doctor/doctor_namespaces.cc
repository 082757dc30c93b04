// SPDX-License-Identifier: BSD-3-Clause
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "src/base/unique_fd.h"
#include "src/linux/id_map_writer.h"
#include "src/linux/namespace.h"
#include "tools/netns-run/doctor/doctor_checks.h"

namespace nh::run {

namespace {

constexpr const char* apparmor_sysctl = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
constexpr const char* clone_sysctl = "/proc/sys/kernel/unprivileged_userns_clone";

bool apparmor_restricts() {
  const std::string value = read_sysctl(apparmor_sysctl);
  return !value.empty() && value != "0";
}

std::string apparmor_cure() {
  return "AppArmor restricts unprivileged user namespaces (Ubuntu 23.10 and later): as root give netns-run a profile with "
         "the rule "
         "\"userns,\", or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";
}

std::string limit_name(NamespaceType type) {
  return "max_" + std::string(proc_name(type)) + "_namespaces";
}

std::string limit_path(NamespaceType type) {
  return "/proc/sys/user/" + limit_name(type);
}

/// `limit` is what limit_path held before a namespace was entered: each user namespace has limits of its own.
std::string cure_for(NamespaceType type, int err, const std::string& limit) {
  if (err == ENOSPC || limit == "0") return "as root: sysctl -w user." + limit_name(type) + "=15000 (now " + limit + ")";
  if (err == EINVAL || err == ENOSYS) return "use a kernel with " + std::string(namespace_name(type)) + " namespaces";
  if (read_sysctl(clone_sysctl) == "0") return "as root: sysctl -w kernel.unprivileged_userns_clone=1";
  if (apparmor_restricts()) return apparmor_cure();
  return "look for what refuses it: a container's seccomp filter (docker run --security-opt seccomp=unconfined), SELinux or "
         "another "
         "security module, a chroot";
}

Finding try_user() {
  const std::string limit = read_sysctl(limit_path(NamespaceType::user));
  if (auto entered = enter_namespaces(0); !entered)
    return refused(entered.error(), cure_for(NamespaceType::user, entered.error().sys_errno, limit));
  Finding finding{.detail = "made one, mapped our ids"};
  if (read_sysctl(clone_sysctl) == "0") {  // and yet it was made, so we are root
    finding.state = CheckState::limited;
    finding.detail += "; kernel.unprivileged_userns_clone is 0, so that only root may";
    finding.cure = "as root: sysctl -w kernel.unprivileged_userns_clone=1";
  }
  return finding;
}

/// On hosts where AppArmor restricts user namespaces they can be made, but give no capability.
Finding try_privileges() {
  if (auto entered = enter_namespaces(CLONE_NEWNS); !entered)
    return refused(entered.error(), apparmor_restricts() ? apparmor_cure() : "see user_namespace and mount_namespace");
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return refused(sys_error("making mounts private inside a new user namespace"),
                   apparmor_restricts() ? apparmor_cure() : "look for a security module that takes the capabilities away");
  Finding finding{.detail = "changed mounts inside a new one"};
  if (apparmor_restricts()) finding.detail += "; AppArmor restricts unprivileged user namespaces, but not ours";
  return finding;
}

Finding try_kind(NamespaceType type) {
  const std::string limit = read_sysctl(limit_path(type));
  if (auto entered = enter_namespaces(clone_flag(type)); !entered)
    return refused(entered.error(), cure_for(type, entered.error().sys_errno, limit));
  return {.detail = "made one"};
}

Finding mount_proc() {
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return refused(sys_error("making mounts private"), "see user_namespace_privileges");
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0)
    return {.detail = "mounted one in a new pid namespace"};
  return {
      CheckState::limited, sys_error("mounting /proc in a new pid namespace").message(),
      "something is mounted over parts of this host's own /proc, as in a container (podman run --security-opt unmask=ALL)"};
}

Finding try_proc() {
  if (auto entered = enter_namespaces(CLONE_NEWPID | CLONE_NEWNS); !entered)
    return {CheckState::limited, entered.error().message(), "see pid_namespace and mount_namespace"};
  return probe(mount_proc);  // the first child lives in the new pid namespace
}

/// A child in a new user namespace, mapped by the helpers from outside.
Finding try_helper_map(const IdMapCaller& caller, const IdMaps& maps) {
  std::array<int, 2> ready{}, stop{};
  if (pipe2(ready.data(), O_CLOEXEC) != 0 || pipe2(stop.data(), O_CLOEXEC) != 0)
    return refused(sys_error("making pipes"), "close some descriptors");
  UniqueFd ready_in(ready[0]), ready_out(ready[1]), stop_in(stop[0]), stop_out(stop[1]);
  const pid_t child = fork();
  if (child < 0) return refused(sys_error("forking"), "allow more processes (ulimit -u)");
  if (child == 0) {
    stop_out.reset();
    const char made = unshare(CLONE_NEWUSER) == 0 ? 1 : 0;
    char byte = 0;
    if (write(ready_out.get(), &made, 1) == 1 && read(stop_in.get(), &byte, 1) >= 0) _exit(0);
    _exit(1);
  }
  char made = 0;
  const bool heard = read(ready_in.get(), &made, 1) == 1;
  auto mode = write_id_maps(child, maps, caller);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  if (!heard || made == 0)
    return {CheckState::unavailable, "no user namespace could be made to try them on", "see user_namespace"};
  if (mode)
    return {.detail = "mapped " + std::to_string(maps.uids.size()) + " uid and " + std::to_string(maps.gids.size()) +
                      " gid ranges by " + std::string(id_map_mode_name(*mode))};
  std::string text = mode.error().message();
  const auto reason = text.find("helper full mapping error: ");
  text.erase(0, reason == std::string::npos ? 0 : reason);
  return {
      CheckState::limited, text.substr(0, text.find('\n')),
      "give them their privilege back: as root chmod u+s /usr/bin/newuidmap /usr/bin/newgidmap, or setcap cap_setuid+ep and "
      "cap_setgid+ep; no_new_privs, a nosuid mount and a container take it away too"};
}

Finding try_helpers(const IdMapCaller& caller) {
  std::string missing;
  for (const char* name : {"newuidmap", "newgidmap"})
    if (!real_id_map_system().find_program(name)) missing += (missing.empty() ? "" : " and ") + std::string(name);
  if (!missing.empty())
    return {CheckState::limited, missing + " not in PATH: one's own id can be mapped, no others",
            "install the package uidmap (Debian, Ubuntu) or shadow-utils (Fedora)"};
  auto maps = resolve_id_maps({.mode = IdMapPlan::Mode::subordinate}, caller);
  if (!maps) return {CheckState::limited, "present, not tried: there are no subordinate ids to map", "see subordinate_ids"};
  return try_helper_map(caller, *maps);
}

Finding look_at_subordinates(const IdMapCaller& caller) {
  std::uint64_t uids = 0, gids = 0;
  for (const IdRange& range : subordinate_ranges(caller.subuid, caller.user, caller.uid)) uids += range.count;
  for (const IdRange& range : subordinate_ranges(caller.subgid, caller.user, caller.uid)) gids += range.count;
  Finding finding{.detail = caller.user + " has " + std::to_string(uids) + " uids in /etc/subuid and " +
                            std::to_string(gids) + " gids in /etc/subgid"};
  if (uids != 0 && gids != 0) return finding;
  finding.state = CheckState::limited;
  finding.cure = "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 " + caller.user +
                 " (other users' ranges must not overlap)";
  return finding;
}

}  // namespace

void check_namespaces(std::vector<Check>& checks) {
  checks.push_back(named("user_namespace", true, probe(try_user)));
  checks.push_back(named("user_namespace_privileges", true, probe(try_privileges)));
  for (const NamespaceType type : all_namespace_types) {
    if (type == NamespaceType::user) continue;
    const bool required = type == NamespaceType::net || type == NamespaceType::mount || type == NamespaceType::pid;
    Finding found = probe([type] { return try_kind(type); });
    checks.push_back(named(std::string(namespace_name(type)) + "_namespace", required, std::move(found)));
  }
  checks.push_back(named("proc_mount", false, probe(try_proc)));
  const IdMapCaller caller = IdMapCaller::current();
  checks.push_back(named("subordinate_ids", false, look_at_subordinates(caller)));
  checks.push_back(named("id_map_helpers", false, probe([&caller] { return try_helpers(caller); })));
}

}  // namespace nh::run
