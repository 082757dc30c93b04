// SPDX-License-Identifier: BSD-3-Clause
// Doctor: what this host lets an unprivileged user do of all that rootless networking needs, found out by doing it.
//
// Theory of operation. Each check tries its thing in a child of its own (so that a namespace, a filter or a crash stays
// there) and gives available, limited (works, with something missing) or unavailable, what was seen, and what to change. Where
// trying is not possible a file is read, and the detail says which. Nothing is changed on the host, and no packet leaves it.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace nh::run {

enum class CheckState : unsigned char { available, limited, unavailable };

struct Check {
  std::string name;
  CheckState state = CheckState::unavailable;
  std::string detail;     ///< what was seen
  std::string cure;       ///< empty: nothing to cure
  bool required = false;  ///< rootless networking does not work without it
};

/// Every check, in the order in which they are shown. Takes some hundred milliseconds.
std::vector<Check> examine_host();

/// Shows examine_host() as a table, or as one JSON object {"ok": bool, "checks": [...]}; returns the exit code: 0 if all
/// that is required is there, 1 if not.
int doctor(std::FILE* out, bool json);

}  // namespace nh::run
