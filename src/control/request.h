// SPDX-License-Identifier: BSD-3-Clause
// From JSON to types: the parts of a request and the arguments of the commands. Each error names
// the member at fault in `field` and the rule it breaks in `what`.
#pragma once

#include <span>

#include "src/control/commands.h"
#include "src/json/json_checked.h"
#include "src/rules/rule_spec.h"

namespace nh {

/// A JSON object with no other members than these. Natively only: slirp4netns ignores what it does
/// not know.
Result<> check_members(const Json& object, std::span<const std::string_view> known);

/// The arguments of add_hostfwd. host_addr absent or empty is 0.0.0.0, guest_addr absent or empty
/// the guest's own address. slirp4netns: IPv4 only, host_port from 1 (man slirp4netns(1), API
/// SOCKET); natively both families, and host_port 0 lets the kernel choose.
Result<RuleSpec> parse_hostfwd(const Json& arguments, Dialect dialect);

/// The member `name`, which must be there, as an id.
Result<std::uint64_t> parse_id(const Json& arguments, const std::string& name);

}  // namespace nh
