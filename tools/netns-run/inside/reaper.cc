// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/inside/reaper.h"

#include <sys/wait.h>

#include "tools/netns-run/plan.h"

namespace nh::run {

int exit_code_of(int wait_status) {
  return WIFSIGNALED(wait_status) ? exit_signal_base + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

int reap(pid_t command, const RelayedSignals& signals, bool own_session) {
  while (true) {
    const ArrivedSignal arrived = signals.wait();
    if (arrived.number != SIGCHLD) {
      // The kernel's has reached the command already, if they share a session.
      if (!arrived.from_kernel || own_session) arrived.pass_on(command);
      continue;
    }
    int status = 0;
    while (const pid_t ended = waitpid(-1, &status, WNOHANG)) {
      if (ended < 0) break;
      if (ended == command) return exit_code_of(status);
    }
  }
}

}  // namespace nh::run
