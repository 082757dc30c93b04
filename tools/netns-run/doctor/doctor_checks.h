// SPDX-License-Identifier: BSD-3-Clause
// The doctor's checks, by what they are about. Each tries its things and appends what it found.
#pragma once

#include <vector>

#include "tools/netns-run/doctor/doctor.h"
#include "tools/netns-run/doctor/probe.h"

namespace nh::run {

/// For check functions: a finding under its name.
inline Check named(std::string name, bool required, Finding finding) {
  return {.name = std::move(name),
          .state = finding.state,
          .detail = std::move(finding.detail),
          .cure = std::move(finding.cure),
          .required = required};
}

/// User namespaces and what one may do in them, every other kind, a fresh /proc, id maps.
void check_namespaces(std::vector<Check>& checks);
/// TAP, nf_tables, transparent sockets, IPv6, ping sockets, low ports.
void check_network(std::vector<Check>& checks);
/// pidfds, openat2(2), seccomp, Landlock: what the launcher opens paths with and the helper confines itself by.
void check_kernel(std::vector<Check>& checks);

}  // namespace nh::run
