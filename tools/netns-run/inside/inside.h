// SPDX-License-Identifier: BSD-3-Clause
// Inside: the child's half of a run, from the fork to the exec.
//
// Theory of operation, in order:
//   1. enter the user namespace (unless clone(2) has made it), report that to the launcher, and wait until it has mapped the ids;
//   2. root's ids inside, where they exist, and all other namespaces, in NamespaceSet's order. What holds children only
//      (pid, time) asks for one more fork: the new process is the launcher's child, as the first one was, which ends
//      (CLONE_PARENT, clone(2));
//   3. host name; lo; the TAP, which goes to the helper at once, so that it configures it while we go on;
//   4. the root, with its mounts, masks and files;
//   5. report to the launcher, and wait for its order to go on, which comes when the network is ready;
//   6. the reaper and its child, the command; or the command itself.
// Every failure is reported over the channel; the end of the channel, when the launcher ends, ends the child. A namespace that is
// joined may hold foreign processes: until the exec we cannot be traced by them (PR_SET_DUMPABLE), but for the moment in which
// the launcher writes our id maps, which the kernel would refuse it otherwise.
#pragma once

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/linux/namespace_steps.h"
#include "tools/netns-run/channel.h"
#include "tools/netns-run/outside/file_size_limit.h"
#include "tools/netns-run/outside/signals.h"
#include "tools/netns-run/plan.h"

namespace nh::run {

struct InsideParts {
  const Plan& plan;
  const OpenedNamespaces& namespaces;
  /// Kinds that the clone(2) of this process has made already.
  OpenedNamespaces::Filter still_to_do;
  const RelayedSignals& signals;
  Channel channel;
  UniqueFd tap_socket;                   ///< empty: no helper
  UniqueFd launcher;                     ///< the launcher's pidfd
  UniqueFd held;                         ///< --sync-fd, for the reaper's life; empty: none
  const RaisedFileSizeLimit& file_size;  ///< given back to the command
  UniqueFd helper_exit;                  ///< the helper's life is the reaper's: --kill-child=no; empty: it is the launcher's
};

/// In the child, with one thread.
[[noreturn]] void run_inside(InsideParts parts);

/// Must the process that makes these steps fork once more before the command?
bool needs_second_fork(const NamespaceSet& set, const OpenedNamespaces::Filter& still_to_do);
/// Is there a reaper of ours?
bool has_reaper(const Plan& plan);

}  // namespace nh::run
