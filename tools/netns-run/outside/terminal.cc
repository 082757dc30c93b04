// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/outside/terminal.h"

#include <unistd.h>

#include <csignal>
#include <initializer_list>

namespace nh::run {

ForegroundJob::ForegroundJob() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (terminal_ < 0 && tcgetpgrp(fd) == getpgrp()) terminal_ = fd;
}

ForegroundJob::~ForegroundJob() {
  if (terminal_ < 0 || tcgetpgrp(terminal_) == getpgrp()) return;
  // From the background this would stop us (tcsetpgrp(3)); blocked, it does not.
  sigset_t stop, before;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTTOU);
  sigprocmask(SIG_BLOCK, &stop, &before);
  tcsetpgrp(terminal_, getpgrp());
  sigprocmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace nh::run
