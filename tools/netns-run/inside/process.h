// SPDX-License-Identifier: BSD-3-Clause
// Process: from a child in its namespaces to the command: session, limits, ids, capabilities, working directory, exec.
//
// The order is the one that each step's privilege asks for: what needs capabilities first, then the ids, then the
// capabilities themselves, no_new_privs, and the exec. The environment and PATH are those of the inside.
#pragma once

#include <string>
#include <vector>

#include "src/base/result.h"
#include "tools/netns-run/plan.h"

namespace nh::run {

/// Everything but the exec. To be called in the process that will exec, with a single thread, after the network is ready;
/// afterwards the process has no privilege but what the plan leaves. Every error names its step, and `field` the
/// plan's member. On failure the caller ends: some steps have been taken.
Result<> become(const ProcessPlan& plan);

/// What the exec will get, NAME=VALUE: `inherited` (empty if the plan clears it), without what is to be unset, with what is
/// to be set, which wins. `directory`: the working directory, for an inherited PWD.
std::vector<std::string> environment_of(const ProcessPlan& plan, const std::vector<std::string>& inherited,
                                        std::string_view directory);

/// Why the command did not start, and the code to exit with: exit_not_found (127), exit_not_executable (126) or
/// exit_own_failure (125).
struct ExecFailure {
  int exit_code = exit_own_failure;
  Error error;
};

/// execvp(3) with the plan's arguments and environment. Returns only if it fails.
ExecFailure execute(const ProcessPlan& plan);

}  // namespace nh::run
