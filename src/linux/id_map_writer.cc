// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/id_map_writer.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "src/base/log.h"
#include "src/base/number.h"

namespace nh {

namespace {

std::string trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(blanks) - first + 1));
}

/// Writes the maps of one child by any of the four ways; remembers which maps are written.
class Writer {
 public:
  Writer(pid_t child, const IdMaps& maps, IdMapSystem& system)
      : child_(std::to_string(child)), proc_("/proc/" + child_ + "/"), maps_(maps), system_(system) {}

  Result<> direct_full() {
    NH_TRY(deny_setgroups());
    NH_TRY(write_map("uid_map", maps_.uids, "id mapping", uid_));
    return write_map("gid_map", maps_.gids, "group id mapping", gid_);
  }

  Result<> helper_full() {
    if (auto denied = deny_setgroups(); !denied)
      return std::move(denied).error().in("failed to prepare " + proc_ + "setgroups for the newgidmap fallback path");
    NH_TRY(run_helper("newuidmap", maps_.uids, uid_));
    return run_helper("newgidmap", maps_.gids, gid_);
  }

  Result<> direct_uid_only() {
    if (uid_ == By::helper) return Error{.what = "newuidmap has written " + proc_ + "uid_map already"};
    return write_map("uid_map", maps_.uids, "id mapping", uid_);
  }

  Result<> helper_uid_only() { return run_helper("newuidmap", maps_.uids, uid_); }

 private:
  enum class By : std::uint8_t { nobody, us, helper };

  Result<> deny_setgroups() {
    const std::string path = proc_ + "setgroups";
    // Before Linux 3.19 there is neither this file nor the rule that asks for it.
    if (!maps_.deny_setgroups || setgroups_denied_ || !system_.exists(path)) return Ok{};
    if (const int err = system_.write(path, "deny\n"); err != 0)
      return sys_error(err, "writing " + path + " (may gid maps be configured on this host?)");
    setgroups_denied_ = true;
    return Ok{};
  }

  Result<> write_map(const char* file, const std::vector<IdRange>& ranges, const char* kind, By& done) {
    if (done != By::nobody) return Ok{};
    const std::string path = proc_ + file;
    if (const int err = system_.write(path, id_map_text(ranges)); err != 0)
      return sys_error(err, "writing " + path + " (is " + kind + " allowed on this host?)");
    done = By::us;
    return Ok{};
  }

  Result<> run_helper(const std::string& name, const std::vector<IdRange>& ranges, By& done) {
    if (done != By::nobody) return Ok{};
    const auto program = system_.find_program(name);
    if (!program) return Error{.code = Code::missing, .what = "failed to execute " + name + ": it is not in PATH"};
    std::vector<std::string> arguments{*program, child_};
    for (const IdRange& range : ranges)
      for (const std::uint32_t number : {range.inside, range.outside, range.count})
        arguments.push_back(std::to_string(number));
    const HelperRun run = system_.run(arguments);
    if (run.start_errno != 0) return sys_error(run.start_errno, "failed to execute " + *program);
    if (!run.timed_out && WIFEXITED(run.status) && WEXITSTATUS(run.status) == 0) {
      done = By::helper;
      return Ok{};
    }
    std::string what = name + " for pid " + child_;
    if (run.timed_out)
      what += " did not end in time and was killed";
    else if (WIFSIGNALED(run.status))
      what += " was ended by signal " + std::to_string(WTERMSIG(run.status));
    else
      what += " ended with exit code " + std::to_string(WEXITSTATUS(run.status));
    return Error{.what = what + ", stdout \"" + trimmed(run.output) + "\", stderr \"" + trimmed(run.errors) + "\""};
  }

  std::string child_, proc_;
  const IdMaps& maps_;
  IdMapSystem& system_;
  bool setgroups_denied_ = false;
  By uid_ = By::nobody, gid_ = By::nobody;
};

/// Facts about this host, for the error when no way worked.
struct Diagnosis {
  std::optional<std::uint64_t> max_user_namespaces, unprivileged_userns_clone, apparmor_restriction;
  bool newuidmap = false, newgidmap = false, subuid = false, subgid = false;

  Diagnosis(const IdMapCaller& caller, IdMapSystem& system) {
    const auto number = [&system](const char* path) -> std::optional<std::uint64_t> {
      const auto text = system.read(path);
      if (!text) return std::nullopt;
      const auto parsed = parse_unsigned(trimmed(*text), 0, UINT64_MAX, path);
      return parsed ? std::optional(*parsed) : std::nullopt;
    };
    max_user_namespaces = number("/proc/sys/user/max_user_namespaces");
    unprivileged_userns_clone = number("/proc/sys/kernel/unprivileged_userns_clone");
    apparmor_restriction = number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    newuidmap = system.find_program("newuidmap").has_value();
    newgidmap = system.find_program("newgidmap").has_value();
    subuid = !subordinate_ranges(caller.subuid, caller.user, caller.uid).empty();
    subgid = !subordinate_ranges(caller.subgid, caller.user, caller.uid).empty();
  }

  std::string text(pid_t child, const IdMapCaller& caller) const {
    const auto number = [](const std::optional<std::uint64_t>& value) {
      return value ? std::to_string(*value) : std::string("unavailable");
    };
    const auto yes = [](bool value) { return std::string(value ? "yes" : "no"); };
    const std::array<std::string, 10> lines{
        "child pid: " + std::to_string(child),
        "current uid/gid: " + std::to_string(caller.uid) + "/" + std::to_string(caller.gid),
        "detected username: " + caller.user,
        "/proc/sys/user/max_user_namespaces: " + number(max_user_namespaces),
        "/proc/sys/kernel/unprivileged_userns_clone: " + number(unprivileged_userns_clone),
        "newuidmap in PATH: " + yes(newuidmap),
        "newgidmap in PATH: " + yes(newgidmap),
        "/etc/subuid entry for " + caller.user + ": " + yes(subuid),
        "/etc/subgid entry for " + caller.user + ": " + yes(subgid),
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns: " + number(apparmor_restriction)};
    std::string text = "\ndiagnostics:";
    for (const std::string& line : lines) text += "\n- " + line;
    return text;
  }

  /// The first range that newuidmap or newgidmap would refuse, as "OUTSIDE-LAST"; empty: none.
  static std::string foreign(const std::vector<IdRange>& wanted, std::uint32_t own, const std::vector<IdRange>& granted) {
    for (const IdRange& range : wanted) {
      const bool is_own = range.outside == own && range.count == 1;
      const bool is_granted = std::any_of(granted.begin(), granted.end(), [&range](const IdRange& one) {
        return range.outside >= one.outside &&
               std::uint64_t{range.outside} + range.count <= std::uint64_t{one.outside} + one.count;
      });
      if (!is_own && !is_granted)
        return std::to_string(range.outside) + "-" + std::to_string(std::uint64_t{range.outside} + range.count - 1);
    }
    return {};
  }

  std::string advice(const IdMaps& maps, const IdMapCaller& caller) const {
    const bool maps_root =
        std::any_of(maps.uids.begin(), maps.uids.end(), [](const IdRange& range) { return range.outside == 0; });
    if (maps_root && !caller.may_map_root)
      return "root of this user namespace can be mapped into another one only with the capability CAP_SETFCAP (Linux 5.12): "
             "give it to the sandbox that we run in (netns-run --cap-add=setfcap), or be another user there (netns-run "
             "--map-current-user)";
    if (max_user_namespaces == 0u || unprivileged_userns_clone == 0u)
      return "user namespaces are disabled for unprivileged users on this host: set the sysctl above, or run as root "
             "without a "
             "new user namespace";
    if (!newuidmap || !newgidmap)
      return "install newuidmap and newgidmap (Debian and Ubuntu: the package uidmap; Fedora: shadow-utils)";
    if (!subuid || !subgid)
      return "give " + caller.user +
             " ranges in both /etc/subuid and /etc/subgid (usermod --add-subuids 100000-165535 "
             "--add-subgids 100000-165535 " +
             caller.user + ")";
    if (caller.passwd_gid && *caller.passwd_gid != caller.gid)
      return "newuidmap and newgidmap serve " + caller.user + " only with the primary group of the password database, gid " +
             std::to_string(*caller.passwd_gid) + ", and ours is " + std::to_string(caller.gid) +
             ": start this under that group (newgrp(1), sg(1), setpriv(1) with --regid)";
    if (const std::string stranger =
            foreign(maps.uids, caller.uid, subordinate_ranges(caller.subuid, caller.user, caller.uid));
        !stranger.empty())
      return "uids " + stranger + " are neither " + caller.user + "'s own nor in its ranges of /etc/subuid: map others";
    if (const std::string stranger =
            foreign(maps.gids, caller.gid, subordinate_ranges(caller.subgid, caller.user, caller.uid));
        !stranger.empty())
      return "gids " + stranger + " are neither " + caller.user + "'s own nor in its ranges of /etc/subgid: map others";
    // The caller's own ids need no privilege to be mapped: what refuses them is not no_new_privs.
    const bool own_alone = foreign(maps.uids, caller.uid, {}).empty() && foreign(maps.gids, caller.gid, {}).empty();
    if (!own_alone && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
      return "no_new_privs is set for this process (by netns-run, systemd's NoNewPrivileges= or a container), so that "
             "newuidmap and newgidmap get no privilege: start this without it, or map the caller's own ids alone "
             "(netns-run --map-root-user)";
    if (apparmor_restriction.value_or(0) != 0)
      return "AppArmor restricts unprivileged user namespaces on this host (Ubuntu 23.10 and later): give this program a "
             "profile "
             "with the rule \"userns,\", or set kernel.apparmor_restrict_unprivileged_userns=0";
    return "check for a seccomp filter or a security policy that refuses id maps (containers have one), and that newuidmap "
           "and "
           "newgidmap still have their privilege (setuid root, or the file capabilities cap_setuid and cap_setgid)";
  }
};

}  // namespace

std::string_view id_map_mode_name(IdMapMode mode) {
  switch (mode) {
    case IdMapMode::nothing:
      return "nothing to map";
    case IdMapMode::direct_full:
      return "direct uid/gid map writes";
    case IdMapMode::helper_full:
      return "newuidmap/newgidmap full mapping";
    case IdMapMode::direct_uid_only:
      return "direct uid-only mapping";
    case IdMapMode::helper_uid_only:
      return "newuidmap uid-only mapping";
  }
  return "nothing to map";
}

Result<IdMapMode> write_id_maps(pid_t child, const IdMaps& maps, const IdMapCaller& caller, IdMapSystem& system) {
  const std::string of_child = "id maps of process " + std::to_string(child) + ": ";
  if (maps.uids.empty()) {
    log::debug(of_child + "none are ours to write");
    return IdMapMode::nothing;
  }
  struct Way {
    IdMapMode mode;
    const char* error_name;
    Result<> (Writer::*go)();
    bool uid_only;
  };
  constexpr std::array<Way, 4> ways{{
      {IdMapMode::direct_full, "direct full", &Writer::direct_full, false},
      {IdMapMode::helper_full, "helper full", &Writer::helper_full, false},
      {IdMapMode::direct_uid_only, "direct uid-only", &Writer::direct_uid_only, true},
      {IdMapMode::helper_uid_only, "helper uid-only", &Writer::helper_uid_only, true},
  }};
  Writer writer(child, maps, system);
  std::string errors;
  for (const Way& way : ways) {
    if (way.uid_only && !maps.uid_alone_will_do) {
      errors += std::string("\n") + way.error_name + " mapping error: not tried, the group ids are asked for too";
      continue;
    }
    const auto done = (writer.*way.go)();
    if (done) {
      log::debug(of_child + "written by " + std::string(id_map_mode_name(way.mode)));
      if (way.uid_only)
        log::warning(of_child +
                     "only the uid is mapped; what group a file belongs to may look and count differently than for "
                     "the caller's primary gid");
      if (!errors.empty()) log::debug(of_child + "earlier errors:" + errors);
      return way.mode;
    }
    errors += std::string("\n") + way.error_name + " mapping error: " + done.error().message();
  }
  const Diagnosis diagnosis(caller, system);
  return Error{.code = Code::denied,
               .what = "failed to write the " + of_child + "every way was refused" + errors + diagnosis.text(child, caller) +
                       "\n" + diagnosis.advice(maps, caller)};
}

}  // namespace nh
