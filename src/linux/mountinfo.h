// SPDX-License-Identifier: BSD-3-Clause
// /proc/PID/mountinfo (proc(5)).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "src/base/result.h"

namespace nh {

/// One line.
struct MountInfo {
  int id = 0, parent = 0;
  std::string root, point;               ///< unescaped
  std::string options;                   ///< the mount's own: "ro,nosuid"
  std::vector<std::string> propagation;  ///< "shared:12", "master:3", "unbindable"; none: private
  std::string type, source, super_options;

  bool is_shared() const;
};

/// Malformed lines are skipped.
std::vector<MountInfo> parse_mountinfo(std::string_view text);
Result<std::vector<MountInfo>> read_mountinfo(const std::string& path = "/proc/self/mountinfo");

}  // namespace nh
