// SPDX-License-Identifier: BSD-3-Clause
#include "src/loop/signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>

namespace nh {

namespace {

bool stays_ignored(int number) {
  struct sigaction present {};
  return (number == SIGHUP || number == SIGINT || number == SIGQUIT) && sigaction(number, nullptr, &present) == 0 &&
         present.sa_handler == SIG_IGN;
}

}  // namespace

Result<UniqueFd> take_signals(std::initializer_list<int> signals) {
  for (int number = 1; number <= SIGRTMAX; ++number)
    if (!stays_ignored(number))  // std::signal fails for SIGKILL, SIGSTOP and those that the C library keeps for itself
      std::signal(number, number == SIGPIPE || number == SIGXFSZ ? SIG_IGN : SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  if (sigprocmask(SIG_SETMASK, &set, nullptr) != 0) return sys_error("unblocking signals");
  // A blocked signal is queued even if it is ignored, and signalfd(2) would report it.
  for (const int number : signals)
    if (!stays_ignored(number)) sigaddset(&set, number);
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return sys_error("blocking signals");
  UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return sys_error("making a signalfd");
  return fd;
}

int next_signal(const UniqueFd& signal_fd) {
  signalfd_siginfo info{};
  if (read(signal_fd.get(), &info, sizeof info) != sizeof info) return 0;
  return static_cast<int>(info.ssi_signo);
}

}  // namespace nh
