// SPDX-License-Identifier: BSD-3-Clause
// From the host's tree to the new root. Afterwards "/" and the working directory are the new root, and the host's tree is
// out of reach.
#pragma once

#include "src/base/result.h"

namespace nh::run {

/// pivot_root(".", ".") (pivot_root(2), NOTES): no directory in the new root is needed for the old one, which is stacked on
/// it and taken away. `root`: a descriptor of the new root, a mount of its own whose parent is not shared. EINVAL: the
/// kernel cannot (the present root is the initial ramfs).
Result<> pivot_into(int root);

/// The way where pivot_root cannot: the new root is moved over "/", and we change into it. Every proc and sysfs outside the
/// new root is covered first, or else a process without privilege could make a user namespace and mount a fresh one in it,
/// without the masks: whether it may, the kernel judges by what is in full sight in the mount namespace, not below our root
/// (mount_too_revealing(), fs/namespace.c).
Result<> move_into(int root);

/// pivot_into, or move_into where the kernel answers EINVAL.
Result<> switch_root(int root);

}  // namespace nh::run
