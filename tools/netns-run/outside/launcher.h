// SPDX-License-Identifier: BSD-3-Clause
// Launcher: the outside half of a run, which stays as its supervisor. START HERE.
//
// Processes, one thread each:
//     netns-run, the launcher      host       maps the ids, starts the helper, tells --info-fd and the like, passes signals on
//     ├── netns-helper             host       carries the network (and has a guest agent for a child)
//     ├── netns-run, the keeper    inside     keeps what is mounted over the host's files in place (mount_keeper.h)
//     └── netns-run, the reaper    inside     pid 1 of the new pid namespace (reaper.h)
//         └── COMMAND              inside
// Where nothing is joined, the reaper is born by one clone(2) in its user and pid namespaces; else, and if that is refused,
// so that the step and the kind can be named, the child goes step by step (inside.h).
//
// Who dies takes the rest along: the command's end is the reaper's and the launcher's; the launcher's is the reaper's by its
// parent-death signal and the helper's by its exit pipe; the reaper's is everybody's inside, by the kernel; the helper's is
// --on-helper-exit's to say.
#pragma once

#include "tools/netns-run/plan.h"

namespace nh::run {

/// Runs it, to its end. Returns the exit code: the command's, 128 and its signal's number, or one of our own (plan.h),
/// having logged why.
int launch(const Plan& plan);

}  // namespace nh::run
