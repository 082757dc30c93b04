// SPDX-License-Identifier: BSD-3-Clause
// Root: the tree that the command sees, made in a mount namespace of its own.
//
// Theory of operation. Everything happens in the child, after its namespaces were made and its ids mapped, in one thread.
// First "/" is cut off from the host (nothing that is mounted from here on leaks out); then the new root is cloned onto
// itself and everything is mounted below it through descriptors: targets are resolved by openat2(2) inside the root,
// also through links, and the mount goes to the descriptor that was resolved (src/linux/mount.h), so that a process that writes
// into the root cannot move a target in between. A missing mount point is created where the root is writable, and is not removed.
// Read-only paths come after the mounts, masked paths after them. pivot_root(2) is the last step but for the root's own
// flags; where the kernel refuses it (the present root is the initial ramfs) the new root is moved over "/"
// instead, after every proc and sysfs outside was covered. Without a directory the host's tree stays, and all of it
// is done there, but for the pivot.
//
// Needs CAP_SYS_ADMIN in the user namespace that owns the mount namespace, and Linux 5.12 (mount_setattr). A failure leaves
// a tree half made: the caller ends.
#pragma once

#include "src/base/result.h"
#include "tools/netns-run/inside/guest_files.h"
#include "tools/netns-run/plan.h"

namespace nh::run {

/// Makes it all so; afterwards "/" is the new root, and the working directory is it too (without a directory: the caller's
/// stays). `names` is for resolv.conf and hosts, and used only if the plan asks for them. What is given up instead of
/// failing is said in a warning: /proc or /sys bound from the host where the kernel refuses fresh ones, resolv.conf left
/// alone under AppArmor's restriction.
///
/// invalid: the plan breaks a rule; `field` names the member. denied, with a block of diagnostics, where AppArmor or the
/// lack of privilege forbids mounting at all.
Result<> prepare_root(const RootPlan& plan, const GuestNames& names);

}  // namespace nh::run
