// SPDX-License-Identifier: BSD-3-Clause
// The JSON form of Stats; its members are described in netns-helper-control.7.
#pragma once

#include "src/control/rules.h"
#include "src/control/stats.h"
#include "src/json/json_checked.h"

namespace nh {

Json json_of(const Stats& stats, const std::vector<RuleEntry>& rules, Instant now);

}  // namespace nh
