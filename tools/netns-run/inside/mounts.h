// SPDX-License-Identifier: BSD-3-Clause
// Mounts: the plan's mounts put into a root, in order.
//
// Each target is resolved inside the root and made if it is missing (src/linux/root_path.h); proc and sysfs are mounted on
// real directories only, with no link anywhere on the way, and below /proc nothing may be covered but a few files that
// only hold numbers (as in runc: a bind over /proc/self would mislead the program that sets the process up). A tmpfs
// that is to be read-only becomes so at the end, since later mounts may need mount points in it.
#pragma once

#include <vector>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "tools/netns-run/plan.h"

namespace nh::run {

/// What is needed of the host's tree later, opened while it is there.
struct HostTree {
  UniqueFd dev;          ///< /dev
  UniqueFd null_device;  ///< /dev/null, O_PATH
  static Result<HostTree> open();
};

/// Mounts that become read-only when everything below them is in place.
struct MountsToSeal {
  std::vector<UniqueFd> mounts;
  Result<> seal();
};

/// invalid, field "mounts": a target that is not absolute, is "/" itself, or lies below /proc where nothing may be covered.
/// Other errors name the target, the step and, where it is known, the rule of the kernel that stands behind it.
Result<MountsToSeal> mount_all(int root, const std::vector<MountSpec>& mounts, const HostTree& host);

}  // namespace nh::run
