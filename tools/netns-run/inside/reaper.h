// SPDX-License-Identifier: BSD-3-Clause
// Reaper: pid 1 of the command's pid namespace.
//
// It waits for whatever loses its parent, passes on the signals that the launcher sends it, and ends with the command, whose
// exit status it takes over; the kernel then kills what is left in the namespace (pid_namespaces(7)). It holds nothing but
// the descriptors it is to hold. It keeps its capabilities: a command without any can then not trace it (ptrace(2): the
// tracer's must be a superset), and reads neither our memory nor our environment.
#pragma once

#include <sys/types.h>

#include "tools/netns-run/outside/signals.h"

namespace nh::run {

/// What a shell makes of a wait status: the exit code, or 128 and the signal's number.
int exit_code_of(int wait_status);

/// Runs until `command` has ended; returns the code to exit with. `own_session`: the terminal does not know the command, and
/// what it sends to us is passed on too.
int reap(pid_t command, const RelayedSignals& signals, bool own_session);

}  // namespace nh::run
