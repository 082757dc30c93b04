// SPDX-License-Identifier: BSD-3-Clause
// The JSON forms of rules and flows: as a request gives a rule, and as replies and events tell rules and flows. Their members
// are described in netns-helper-control.7 and in share/netns-helper/control.schema.json.
#pragma once

#include <string>
#include <vector>

#include "src/control/rules.h"
#include "src/json/json_checked.h"

namespace nh {

/// One rule: a string (RuleSpec::parse) or an object with the members of RuleFields, where ports and host_fd may be integers.
/// `where` is put before the field of an error: "rules[2]" gives "rules[2].host_port"; empty: "host_port".
Result<RuleSpec> rule_of(const Json& value, const std::string& where);
/// An array of them; errors name "rules[2].host_port".
Result<std::vector<RuleSpec>> rules_of(const Json& value);

/// The members of RuleFields that say what the spec is: given back to rule_of(), it is the same spec.
Json json_of(const RuleSpec& spec);
Json json_of(const RuleEntry& rule);
/// `now`: its age is told, in seconds.
Json json_of(const FlowRecord& flow, Instant now);
/// Seconds with microseconds, of a moment on CLOCK_MONOTONIC or of a time between two.
Json seconds_of(Duration time);

}  // namespace nh
