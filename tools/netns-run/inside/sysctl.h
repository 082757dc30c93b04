// SPDX-License-Identifier: BSD-3-Clause
// Sysctls that belong to a namespace (namespaces(7); proc(5)): all others are the host's, and not ours to set.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "src/base/result.h"
#include "src/linux/namespace_set.h"

namespace nh::run {

using Sysctls = std::vector<std::pair<std::string, std::string>>;

/// invalid, field `sysctl`: a name that no namespace owns, or one of a namespace that this set leaves to the host.
/// kernel.hostname and kernel.domainname are refused with their cure: the plan's own members.
Result<> check_sysctls(const Sysctls& sysctls, const NamespaceSet& namespaces);

/// Writes them, in order, below `proc_sys`: a descriptor of a directory of a proc file system (an Error if it is not). Dots
/// and slashes part the names, as for sysctl(8): where the first of either is a slash, dots belong to the names
/// (net/ipv4/conf/eth0.1).
Result<> write_sysctls(const Sysctls& sysctls, int proc_sys);

}  // namespace nh::run
