// SPDX-License-Identifier: BSD-3-Clause
// Launcher: the outside half of a run, which prepares it and then supervises it. START HERE.
//
// Processes, one thread each:
//     netns-run, the launcher      host       maps the ids, starts the helper, writes --info-fd and the like, passes signals on
//     ├── netns-helper             host       carries the network (and has a guest agent for a child)
//     ├── netns-run, the keeper    inside     keeps what is mounted over the host's files in place (mount_keeper.h)
//     └── netns-run, the reaper    inside     pid 1 of the new pid namespace (reaper.h)
//         └── COMMAND              inside
// Where nothing is joined, one clone(2) makes the reaper in its user and pid namespaces. Otherwise, and if that is refused, the
// child goes step by step (inside.h), so that an error can name the step and the namespace.
//
// Ends. When the command ends, so do the reaper and the launcher. When the launcher ends, the reaper is killed by its parent-death
// signal, and the helper ends by its exit pipe. When the reaper ends, the kernel kills everything in its pid namespace. What
// follows from the helper's end is chosen by --on-helper-exit.
#pragma once

#include "tools/netns-run/plan.h"

namespace nh::run {

/// Runs it, to its end. Returns the exit code: the command's, 128 and its signal's number, or one of our own (plan.h),
/// having logged why.
int launch(const Plan& plan);

}  // namespace nh::run
