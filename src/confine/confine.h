// SPDX-License-Identifier: BSD-3-Clause
// Confinement: the privileges that the helper and the guest agent drop after their start.
//
// Theory of operation. Each process calls its function once, single-threaded, after it has opened everything that it needs of the
// host and before it reports that it is ready. The stages run in the order of confine.cc, each a function in a file of its own.
// A stage that fails ends the start, with the stage's name in the error; an optional restriction that the kernel does not
// support becomes a note. Nothing is undone later.
//
//   stage              helper                                              agent
//   user_namespace     its own: no power over the guest's is left          -
//   empty_root         resolver configuration, and the directories given   nothing at all
//   capabilities       CAP_NET_BIND_SERVICE                                the network's three
//   (linux/capabilities.h)
//   process_state      no_new_privs, not dumpable, no core file, nothing becomes executable
//   landlock_scope     no abstract Unix socket of others                    and no process
//   threads            started here (HelperConfinement::start_threads)      -
//   new_tasks          no new process and no new thread
//   syscall_filter     only the listed system calls (syscall_list.h), of every thread
//
// `sandbox` stands for all but the last, `seccomp` for the last; process_state and new_tasks belong
// to both.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "src/base/result.h"
#include "src/confine/empty_root.h"

namespace nh {

struct HelperConfinement {
  bool sandbox = false;
  bool seccomp = false;
  /// The process that started us may examine our root and descriptors (/proc/PID/root), as slirp4netns permits: we stay
  /// dumpable, if a user namespace of our own protects us from the guest.
  bool inspectable = false;
  std::vector<KeptDirectory> directories = {};
  pid_t agent = 0;  ///< the one process that may be killed; 0: none
  /// Starts the threads. Called once, if anything is confined: after the stages whose effect a thread inherits from its maker,
  /// and before the one that forbids new threads.
  std::function<void()> start_threads = {};
};

struct AgentConfinement {
  bool sandbox = false;
  bool seccomp = false;
};

/// What is in force.
struct Confinement {
  bool sandbox = false;
  bool seccomp = false;
  std::vector<std::string> notes = {};  ///< restrictions that this kernel or environment does not support
};

/// Errors name the option as their field: "sandbox" or "seccomp".
Result<Confinement> confine_helper(const HelperConfinement& wanted);

/// Also lowers the capabilities and sets no_new_privs when neither is wanted. Nothing below /proc
/// and no descriptor can be opened afterwards.
Result<Confinement> confine_agent(const AgentConfinement& wanted);

/// Version of the libseccomp that is linked, "2.5.4".
std::string seccomp_library_version();

}  // namespace nh
