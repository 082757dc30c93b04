// SPDX-License-Identifier: BSD-3-Clause
// Signals that are not for us but for the command.
//
// Theory of operation. Launcher, reaper and command share a process group unless --new-session was given, so what the
// terminal sends (Ctrl-C, Ctrl-\, a new window size, Ctrl-Z) reaches the command from the kernel, and all that we have to do
// is not to die of it; Ctrl-Z stops the launcher too, as the shell that waits for it expects. What somebody sends to the
// launcher alone is passed on. The two are told apart by si_code (sigaction(2)): the kernel's is SI_KERNEL. A command with a
// session of its own gets the terminal's from the reaper, which is still in our process group; where there is none, from the
// launcher.
#pragma once

#include <csignal>
#include <optional>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh::run {

struct ArrivedSignal {
  int number = 0;
  bool from_kernel = false;  ///< the terminal's
};

/// Those that are passed on, blocked and read from a descriptor, with SIGCHLD. SIGHUP, SIGINT and SIGQUIT that were ignored
/// at the start stay ignored, for us and the command (nohup(1), jobs in a shell's background); everything else is as after
/// boot: a caller may have left SIGCHLD ignored or SIGTERM blocked.
class RelayedSignals {
 public:
  static Result<RelayedSignals> take();

  int fd() const { return fd_.get(); }
  /// nullopt: none is pending. Does not wait.
  std::optional<ArrivedSignal> next() const;
  /// The same, but waits. For a process that has nothing else to do.
  ArrivedSignal wait() const;

  /// In the process that will exec: nothing blocked, everything at its default but what was ignored at our start.
  static void give_back();

 private:
  UniqueFd fd_;
  sigset_t set_{};
};

}  // namespace nh::run
