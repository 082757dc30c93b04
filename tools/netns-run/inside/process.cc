// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/inside/process.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/limits.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>

#include "src/base/log.h"
#include "src/base/unique_fd.h"
#include "tools/netns-run/bundle/capability_names.h"

namespace nh::run {
namespace {

Error with_field(Error error, std::string_view field) {
  error.field = field;
  return error;
}

Result<> start_session(const ProcessPlan& plan) {
  if (plan.new_session && setsid() < 0) return with_field(sys_error("starting a session of its own"), "new-session");
  return Ok{};
}

Result<> set_limits(const ProcessPlan& plan) {
  for (const auto& [resource, limit] : plan.limits) {
    if (setrlimit(static_cast<__rlimit_resource>(resource), &limit) == 0) continue;
    const int err = errno;
    Error error = sys_error(err, "setting resource limit " + std::to_string(resource) + " to " +
                                     std::to_string(limit.rlim_cur) + ", hard " + std::to_string(limit.rlim_max));
    if (err == EPERM) error.what += " (only root of the host may raise a hard limit)";
    return with_field(std::move(error), "rlimits");
  }
  return Ok{};
}

Result<> set_oom_score(const ProcessPlan& plan) {
  if (!plan.oom_score_adj) return Ok{};
  const std::string text = std::to_string(*plan.oom_score_adj);
  const UniqueFd file(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  if (file && write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size())) return Ok{};
  const int err = errno;
  Error error = sys_error(err, "setting oom_score_adj to " + text);
  if (err == EACCES) error.what += " (only root of the host may lower it)";
  if (err == ENOENT) error.what += " (needs a proc mounted on /proc)";
  return with_field(std::move(error), "oomScoreAdj");
}

Result<> set_umask(const ProcessPlan& plan) {
  if (plan.umask) umask(*plan.umask);
  return Ok{};
}

/// Some directories are open to us only before the ids change, some only after.
Result<> enter_directory(const ProcessPlan& plan) {
  if (plan.directory.empty() || chdir(plan.directory.c_str()) == 0) return Ok{};
  return with_field(sys_error("entering the working directory " + plan.directory), "cwd");
}

/// Only what the command keeps may be won back by an exec. Without CAP_SETPCAP (no user namespace of its own) the set cannot
/// be lowered; with no_new_privs it means nothing.
Result<> lower_bounding_set(const CapabilityPlan& plan, bool no_new_privileges) {
  for (const unsigned capability : all_capabilities()) {
    if (std::find(plan.bounding.begin(), plan.bounding.end(), capability) != plan.bounding.end()) continue;
    if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 0) continue;
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    if (errno == EPERM && no_new_privileges) return Ok{};
    return with_field(sys_error("lowering the capability bounding set"), "capabilities");
  }
  return Ok{};
}

Result<> set_groups(const ProcessPlan& plan) {
  const std::vector<gid_t> groups = plan.groups.value_or(std::vector<gid_t>{});
  if (setgroups(groups.size(), groups.data()) == 0) return Ok{};
  const int err = errno;
  if (err == EPERM && !plan.groups) return Ok{};
  Error error = sys_error(err, "setting the supplementary groups");
  if (err == EPERM)
    error.what += " (setgroups is denied in a user namespace that maps our own gid alone: map a range of ids)";
  if (err == EINVAL) error.what += " (one of them is not mapped in the user namespace)";
  return with_field(std::move(error), "additionalGids");
}

Error id_error(int err, const std::string& what) {
  Error error = sys_error(err, what);
  if (err == EINVAL) error.what += " (it is not mapped in the user namespace)";
  if (err == EPERM) error.what += " (needs a user namespace of its own, or root)";
  return with_field(std::move(error), "user");
}

Result<> set_ids(const ProcessPlan& plan) {
  uid_t uid = 0, effective_uid = 0, saved_uid = 0;
  gid_t gid = 0, effective_gid = 0, saved_gid = 0;
  if (getresuid(&uid, &effective_uid, &saved_uid) != 0 || getresgid(&gid, &effective_gid, &saved_gid) != 0)
    return sys_error("asking for our ids");
  const bool has_gid = gid == plan.gid && effective_gid == plan.gid && saved_gid == plan.gid;
  if (!has_gid && setresgid(plan.gid, plan.gid, plan.gid) != 0)
    return id_error(errno, "becoming gid " + std::to_string(plan.gid));
  const bool has_uid = uid == plan.uid && effective_uid == plan.uid && saved_uid == plan.uid;
  if (!has_uid && setresuid(plan.uid, plan.uid, plan.uid) != 0)
    return id_error(errno, "becoming uid " + std::to_string(plan.uid));
  return Ok{};
}

Result<> forbid_new_privileges(const ProcessPlan& plan) {
  if (plan.no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return with_field(sys_error("setting no_new_privs"), "noNewPrivileges");
  return Ok{};
}

using Set = std::uint64_t;

Set set_of(const std::vector<unsigned>& capabilities) {
  Set set = 0;
  for (const unsigned capability : capabilities)
    if (capability < 64) set |= Set{1} << capability;
  return set;
}

using CapabilityData = std::array<__user_cap_data_struct, 2>;  // version 3: the lower and the upper 32 of each set

__user_cap_header_struct header() {
  return {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
}

std::string names_of(Set set) {
  std::string names;
  for (unsigned capability = 0; capability < 64; ++capability)
    if ((set >> capability & 1) != 0) names += (names.empty() ? "" : " ") + capability_name(capability);
  return names;
}

/// The runtime-spec demands a warning for what cannot be granted, not a failure (config.md, "Linux Process").
Set granted(Set wanted, Set available, const char* name, const char* why) {
  if ((wanted & ~available) != 0)
    log::warning(std::string(name) + " capabilities " + names_of(wanted & ~available) + " are left out: " + why);
  return wanted & available;
}

Result<> set_capabilities(const CapabilityPlan& plan, bool is_root) {
  auto about = header();
  CapabilityData data{};
  if (syscall(SYS_capget, &about, data.data()) != 0)
    return with_field(sys_error("reading our capabilities"), "capabilities");
  const Set present = Set{data[1].permitted} << 32 | data[0].permitted;
  const Set permitted = granted(set_of(plan.permitted), present, "permitted", "netns-run does not have them here");
  const Set effective = granted(set_of(plan.effective), permitted, "effective", "they are not permitted");
  const Set inheritable = granted(set_of(plan.inheritable), present, "inheritable", "we do not have them");
  // Root does not need ambient ones: an exec gives it what is permitted and in the bounding set (capabilities(7)). What
  // `runc spec --rootless` writes has ambient ones that are not inheritable, and no runtime can grant those.
  const Set could_be_ambient = permitted & inheritable;
  const Set ambient =
      is_root ? set_of(plan.ambient) & could_be_ambient
              : granted(set_of(plan.ambient), could_be_ambient, "ambient",
                        "they must be permitted and inheritable too (name them in both sets of process.capabilities)");
  const auto low = [](Set set) { return static_cast<std::uint32_t>(set); };
  const auto high = [](Set set) { return static_cast<std::uint32_t>(set >> 32); };
  data[0] = {.effective = low(effective), .permitted = low(permitted), .inheritable = low(inheritable)};
  data[1] = {.effective = high(effective), .permitted = high(permitted), .inheritable = high(inheritable)};
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
    return with_field(sys_error("clearing the ambient capabilities"), "capabilities");
  about = header();
  if (syscall(SYS_capset, &about, data.data()) != 0)
    return with_field(sys_error("setting the capabilities"), "capabilities");
  for (unsigned capability = 0; capability < 64; ++capability)
    if ((ambient >> capability & 1) != 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0)
      return with_field(sys_error("raising the ambient capability " + std::to_string(capability)), "capabilities");
  return Ok{};
}

bool is_unset(const ProcessPlan& plan, std::string_view name) {
  return std::find(plan.unset_environment.begin(), plan.unset_environment.end(), name) != plan.unset_environment.end() ||
         std::any_of(plan.set_environment.begin(), plan.set_environment.end(),
                     [&](const auto& entry) { return entry.first == name; });
}

}  // namespace

Result<> become(const ProcessPlan& plan) {
  NH_TRY(start_session(plan));
  NH_TRY(set_limits(plan));
  NH_TRY(set_oom_score(plan));
  NH_TRY(set_umask(plan));
  const auto entered = enter_directory(plan);
  NH_TRY(lower_bounding_set(plan.capabilities, plan.no_new_privileges));
  // The permitted set survives the change of ids, so that the plan's capabilities are there to be kept.
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
    return with_field(sys_error("keeping capabilities over the change of ids"), "capabilities");
  NH_TRY(set_groups(plan));
  NH_TRY(set_ids(plan));
  if (!entered) NH_TRY(enter_directory(plan));
  NH_TRY(forbid_new_privileges(plan));
  return set_capabilities(plan.capabilities, plan.uid == 0);
}

std::vector<std::string> environment_of(const ProcessPlan& plan, const std::vector<std::string>& inherited,
                                        std::string_view directory) {
  std::vector<std::string> environment;
  if (!plan.clear_environment)
    for (const auto& entry : inherited) {
      const std::string_view name = std::string_view(entry).substr(0, entry.find('='));
      if (is_unset(plan, name)) continue;
      environment.push_back(name == "PWD" ? "PWD=" + std::string(directory) : entry);
    }
  for (const auto& [name, value] : plan.set_environment) {
    const std::string prefix = name + "=";
    std::erase_if(environment,
                  [&](const std::string& entry) { return entry.starts_with(prefix); });  // the last of a name counts
    environment.push_back(prefix + value);
  }
  return environment;
}

ExecFailure execute(const ProcessPlan& plan) {
  if (plan.arguments.empty())
    return {exit_own_failure, Error{.code = Code::invalid, .what = "missing command", .field = "args"}};
  for (const auto& argument : plan.arguments)
    if (argument.find('\0') != std::string::npos)
      return {exit_own_failure, Error{.code = Code::invalid,
                                      .what = "an argument of " + plan.arguments[0] + " holds a NUL byte",
                                      .field = "args"}};
  std::vector<std::string> inherited;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) inherited.emplace_back(*entry);
  std::array<char, PATH_MAX> directory{};
  std::vector<std::string> environment =
      environment_of(plan, inherited, getcwd(directory.data(), directory.size()) != nullptr ? directory.data() : "/");
  std::vector<std::string> arguments = plan.arguments;
  const auto pointers = [](std::vector<std::string>& texts) {
    std::vector<char*> all;
    for (auto& text : texts) all.push_back(text.data());
    all.push_back(nullptr);
    return all;
  };
  std::vector<char*> argv = pointers(arguments), envp = pointers(environment);
  char** const before = environ;
  environ = envp.data();  // execvp searches the PATH of this
  execvp(argv[0], argv.data());
  const int err = errno;
  environ = before;
  const std::string& name = plan.arguments[0];
  Error error = with_field(sys_error(err, "running " + name), "args");
  const bool is_path = name.find('/') != std::string::npos;
  if (err == ENOENT && is_path && access(name.c_str(), F_OK) == 0)
    error.what += " (it is there, but its interpreter or dynamic loader is not inside the namespace)";
  else if (err == ENOENT)
    error.what += is_path ? " (no such file inside the namespace)" : " (not in the PATH inside the namespace)";
  else if (err == EACCES)
    error.what += " (it may not be executed inside the namespace: its permissions, or a noexec mount)";
  return {err == ENOENT || err == ENOTDIR ? exit_not_found : exit_not_executable, std::move(error)};
}

}  // namespace nh::run
