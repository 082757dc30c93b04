// SPDX-License-Identifier: BSD-3-Clause
// HOME, as the inside's own user database has it.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "tools/netns-run/plan.h"

namespace nh::run {

/// The home directory of a uid in a text of passwd(5)'s form; "/" if it has none. Not by getpwuid(3), which would
/// ask the host's name services.
std::string home_in(std::string_view passwd, uid_t uid);

/// Sets HOME from the present root's /etc/passwd, unless the plan sets it.
void set_home(ProcessPlan& process);

}  // namespace nh::run
