// SPDX-License-Identifier: BSD-3-Clause
// /sys of the present network namespace. A sysfs shows the network interfaces (/sys/class/net, /sys/devices) of the namespace in
// which it was mounted (fs/sysfs/mount.c): the host's would show the host's.
#pragma once

#include "src/base/result.h"

namespace nh::run {

/// Mounts a fresh sysfs over /sys of the tree at `root`, as `ip netns exec` does, and what the host has mounted below its own
/// (/sys/fs/cgroup, /sys/kernel/debug ...) again in the same places. `root`: a descriptor of "/" of our mount namespace.
/// Leaves all as it is, and says why in a debug line, where there is no sysfs on /sys or the kernel refuses a fresh one: it does
/// where something is mounted over parts of the host's, as container runtimes do (fs/namespace.c, mount_too_revealing()).
Result<> show_own_sysfs(int root);

}  // namespace nh::run
