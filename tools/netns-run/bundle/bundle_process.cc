// SPDX-License-Identifier: BSD-3-Clause
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <climits>
#include <string_view>
#include <utility>

#include "src/base/log.h"
#include "tools/netns-run/bundle/bundle_parts.h"
#include "tools/netns-run/bundle/capability_names.h"

namespace nh::run {
namespace {

/// getrlimit(2).
constexpr std::array<std::pair<std::string_view, int>, 16> resources{{{"RLIMIT_AS", RLIMIT_AS},
                                                                      {"RLIMIT_CORE", RLIMIT_CORE},
                                                                      {"RLIMIT_CPU", RLIMIT_CPU},
                                                                      {"RLIMIT_DATA", RLIMIT_DATA},
                                                                      {"RLIMIT_FSIZE", RLIMIT_FSIZE},
                                                                      {"RLIMIT_LOCKS", RLIMIT_LOCKS},
                                                                      {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
                                                                      {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
                                                                      {"RLIMIT_NICE", RLIMIT_NICE},
                                                                      {"RLIMIT_NOFILE", RLIMIT_NOFILE},
                                                                      {"RLIMIT_NPROC", RLIMIT_NPROC},
                                                                      {"RLIMIT_RSS", RLIMIT_RSS},
                                                                      {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
                                                                      {"RLIMIT_RTTIME", RLIMIT_RTTIME},
                                                                      {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
                                                                      {"RLIMIT_STACK", RLIMIT_STACK}}};

/// (uid_t)-1 is no id (setresuid(2)).
constexpr std::uint64_t largest_id = UINT32_MAX - 1;

Result<> read_limits(const JsonPlace& rlimits, ProcessPlan& plan) {
  return for_each(rlimits, [&plan](const JsonPlace& entry) -> Result<> {
    NH_LET(type, text(entry["type"]));
    const auto known =
        std::find_if(resources.begin(), resources.end(), [&type](const auto& pair) { return pair.first == type; });
    if (known == resources.end()) return invalid_member(entry["type"], "is no resource limit of getrlimit(2): " + type);
    const int resource = known->second;
    if (std::any_of(plan.limits.begin(), plan.limits.end(),
                    [resource](const auto& limit) { return limit.first == resource; }))
      return invalid_member(entry["type"], "is given twice: " + type);
    NH_LET(soft, number(entry["soft"], 0, UINT64_MAX));
    NH_LET(hard, number(entry["hard"], 0, UINT64_MAX));
    if (soft > hard) return invalid_member(entry["soft"], "is above the hard limit");
    plan.limits.emplace_back(resource, rlimit{.rlim_cur = soft, .rlim_max = hard});
    return Ok{};
  });
}

/// A name that this kernel does not know is warned of, as the specification demands (since 1.1; before it was an error).
Result<std::vector<unsigned>> read_capabilities(const JsonPlace& place) {
  NH_LET(names, texts(place));
  std::vector<unsigned> numbers;
  for (const auto& name : names) {
    const auto parsed = name.starts_with("CAP_") ? parse_capability(name, place.path)
                                                 : Result<std::vector<unsigned>>(std::vector<unsigned>{});
    if (!parsed || parsed->empty())
      log::warning(place.path + ": " + name + " is no capability of this kernel; it is left out");
    else
      numbers.insert(numbers.end(), parsed->begin(), parsed->end());
  }
  return numbers;
}

Result<> read_user(const JsonPlace& user, ProcessPlan& plan) {
  if (!user.is_there()) return invalid_member(user, "is missing");
  NH_TRY(must_be_object(user));
  constexpr std::array<std::string_view, 1> not_supported{"username"};
  NH_TRY(refuse_members(user, not_supported));
  NH_LET(uid, number(user["uid"], 0, largest_id));
  NH_LET(gid, number(user["gid"], 0, largest_id));
  plan.uid = static_cast<uid_t>(uid);
  plan.gid = static_cast<gid_t>(gid);
  if (user["umask"].is_there()) {
    NH_LET(mask, number(user["umask"], 0, 0777));
    plan.umask = static_cast<mode_t>(mask);
  }
  if (user["additionalGids"].asks_for_nothing()) return Ok{};
  std::vector<gid_t> groups;
  NH_TRY(for_each(user["additionalGids"], [&groups](const JsonPlace& entry) -> Result<> {
    NH_LET(group, number(entry, 0, largest_id));
    groups.push_back(static_cast<gid_t>(group));
    return Ok{};
  }));
  plan.groups = std::move(groups);
  return Ok{};
}

Result<> read_environment(const JsonPlace& env, ProcessPlan& plan) {
  plan.clear_environment = true;
  return for_each(env, [&plan](const JsonPlace& entry) -> Result<> {
    NH_LET(pair, text(entry));
    const auto equals = pair.find('=');
    if (equals == std::string::npos || equals == 0) return invalid_member(entry, "must be NAME=value");
    plan.set_environment.emplace_back(pair.substr(0, equals), pair.substr(equals + 1));
    return Ok{};
  });
}

Result<> read_oom_score(const JsonPlace& place, ProcessPlan& plan) {
  if (!place.is_there()) return Ok{};
  constexpr int least = -1000, most = 1000;  // proc(5)
  const Json& value = *place.value;
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<std::uint64_t>() > most) ||
      value.get<std::int64_t>() < least || value.get<std::int64_t>() > most)
    return invalid_member(place, "must be an integer from -1000 to 1000");
  plan.oom_score_adj = value.get<int>();
  return Ok{};
}

}  // namespace

Result<ProcessPlan> bundle_process(const JsonPlace& process) {
  if (!process.is_there()) return invalid_member(process, "is missing");
  NH_TRY(must_be_object(process));
  NH_LET(terminal, truth(process["terminal"], false));
  if (terminal)
    return unsupported_member(process["terminal"],
                              "is not supported: the command has our own standard streams; set it to false");
  constexpr std::array<std::string_view, 5> not_supported{"apparmorProfile", "selinuxLabel", "ioPriority", "scheduler",
                                                          "execCPUAffinity"};
  NH_TRY(refuse_members(process, not_supported));

  ProcessPlan plan;
  plan.own_pid_1 = false;  // the specification's process is pid 1 itself
  NH_LET(arguments, texts(process["args"]));
  if (arguments.empty()) return invalid_member(process["args"], "is missing or empty: there is no command");
  plan.arguments = std::move(arguments);
  NH_TRY(read_environment(process["env"], plan));
  NH_LET(cwd, text(process["cwd"]));
  if (cwd.empty() || absolute(cwd, "/") != cwd) return invalid_member(process["cwd"], "must be an absolute path");
  plan.directory = std::move(cwd);
  NH_TRY(read_user(process["user"], plan));

  const JsonPlace capabilities = process["capabilities"];
  NH_TRY(must_be_object(capabilities));
  NH_LET(bounding, read_capabilities(capabilities["bounding"]));
  NH_LET(effective, read_capabilities(capabilities["effective"]));
  NH_LET(inheritable, read_capabilities(capabilities["inheritable"]));
  NH_LET(permitted, read_capabilities(capabilities["permitted"]));
  NH_LET(ambient, read_capabilities(capabilities["ambient"]));
  plan.capabilities = {
      .bounding = bounding, .effective = effective, .inheritable = inheritable, .permitted = permitted, .ambient = ambient};

  NH_TRY(read_limits(process["rlimits"], plan));
  NH_TRY(read_oom_score(process["oomScoreAdj"], plan));
  NH_LET(no_new_privileges, truth(process["noNewPrivileges"], false));
  plan.no_new_privileges = no_new_privileges;
  return plan;
}

}  // namespace nh::run
