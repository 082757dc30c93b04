// SPDX-License-Identifier: BSD-3-Clause
// The guest agent: the process that acts inside the guest's namespaces.
//
// Theory of operation. The helper forks it; it never executes a program. In order:
//   shed       non-dumpable (nothing in the guest may look into a process that still holds the host), cwd /, every signal that
//              a terminal sends to its process group blocked, descriptors 0 and 1 on /dev/null, all but stderr, the socket and
//              the target's own descriptors closed
//   join       the user namespace (if any), then the network namespace; never a mount or pid namespace. Joining a user
//              namespace makes a process dumpable again and forgets its parent-death signal, so both are set after it.
//   attach     open the TAP (or take the one it was given) and send it to the helper
//   configure  apply the plan; if that fails, or nobody is there any more to hear of it, undo it
//   confine    keep three capabilities, see no file, make no other system call (confine/confine.h); the namespaces'
//              descriptors and the TAP were closed once the TAP was sent
//   serve      report changes of the interface, answer questions; ends with the socket, or when the interface is gone
#pragma once

#include <sys/types.h>

#include "src/agent/agent_link.h"
#include "src/base/unique_fd.h"

namespace nh::agent {

/// Runs in the child until its end. `helper` is the parent's pid.
[[noreturn]] void run(const AgentSetup& setup, UniqueFd socket, pid_t helper) noexcept;

}  // namespace nh::agent
