// SPDX-License-Identifier: BSD-3-Clause
// Signals that are not for us but for the command.
//
// Theory of operation. Launcher, reaper and command share a process group unless --new-session was given, so what the
// terminal sends (Ctrl-C, Ctrl-\, a new window size, Ctrl-Z) reaches the command from the kernel; we only must not die of it.
// Ctrl-Z stops the launcher too, as the shell that waits for it expects. What another process sends to the launcher alone is
// passed on, whatever its number: all but SIGKILL and SIGSTOP, which cannot be caught, and SIGCHLD, which tells of our own
// children. The two are told apart by si_code (sigaction(2)): the kernel's is SI_KERNEL. A command with a session of its own
// gets the terminal's signals from the reaper, which is still in our process group, or, where there is none, from the launcher.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <optional>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh::run {

struct ArrivedSignal {
  int number = 0;
  bool from_kernel = false;  ///< the terminal's
  bool queued = false;       ///< by sigqueue(3), with `value`
  sigval value = {};

  /// Sends it to a process as it came.
  void pass_on(pid_t pid) const;
};

/// One of SIGHUP, SIGINT and SIGQUIT, and ignored by whoever started us.
bool stays_ignored(int number);

/// Every signal, blocked and read from a descriptor. SIGHUP, SIGINT and SIGQUIT that were ignored at the start stay ignored, for
/// us and the command (nohup(1), jobs in a shell's background), and are not read; all others get their default action: a caller
/// may have left SIGCHLD ignored or SIGPIPE blocked. What our own system calls raise (SIGPIPE, SIGXFSZ; the kernel names us as
/// the sender) is left out: the call's errno tells it. A blocked SIGSEGV of our own still kills us.
class RelayedSignals {
 public:
  static Result<RelayedSignals> take();

  int fd() const { return fd_.get(); }
  /// nullopt: none is pending. Does not wait.
  std::optional<ArrivedSignal> next() const;
  /// The same, but waits. For a process that has nothing else to do.
  ArrivedSignal wait() const;

  /// In the process that will exec: nothing is blocked. What our own calls have raised in it is taken first.
  static void give_back();

 private:
  UniqueFd fd_;
  sigset_t set_{};
};

/// The default action of SIGTSTP, SIGTTIN or SIGTTOU, which is blocked: stops the process until SIGCONT, unless its process group
/// is orphaned.
void stop_as_the_terminal_asks(int number);

}  // namespace nh::run
