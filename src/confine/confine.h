// SPDX-License-Identifier: BSD-3-Clause
// Confinement: what the helper and the guest agent give up once they have all that they need.
//
// Theory of operation. Each process calls its function once, single-threaded, when everything that
// needs the host is open, and before anybody is told that it is ready. The stages run in the order
// in which they are written in confine.cc, each a named function in a file of its own; a stage that
// fails ends the start, with the stage's name in the error. What a kernel does not offer, but
// nothing rests on, becomes a note. Nothing is ever taken back.
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
  /// Who started us may look at our root and our descriptors (/proc/PID/root, as slirp4netns lets
  /// it): we stay dumpable where a user namespace of our own keeps the guest out.
  bool inspectable = false;
  std::vector<KeptDirectory> directories = {};
  pid_t agent = 0;  ///< the one process that may be killed; 0: none
  /// Starts the threads that there are to be. Called once, if anything is confined: after what a thread
  /// has given up only if its maker had, before none can be started any more.
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
  std::vector<std::string> notes = {};  ///< what this kernel or this place does not offer
};

/// Errors name the option as their field: "sandbox" or "seccomp".
Result<Confinement> confine_helper(const HelperConfinement& wanted);

/// Also lowers the capabilities and sets no_new_privs when neither is wanted. Nothing below /proc
/// and no descriptor can be opened afterwards.
Result<Confinement> confine_agent(const AgentConfinement& wanted);

/// Version of the libseccomp that is linked, "2.5.4".
std::string seccomp_library_version();

}  // namespace nh
