// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/outside/signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <array>

namespace nh::run {
namespace {

constexpr std::array relayed{SIGHUP,   SIGINT,  SIGQUIT,   SIGTERM, SIGUSR1, SIGUSR2,
                             SIGWINCH, SIGALRM, SIGVTALRM, SIGPROF, SIGIO,   SIGPWR};

bool stays_ignored(int number) {
  struct sigaction present {};
  return (number == SIGHUP || number == SIGINT || number == SIGQUIT) && sigaction(number, nullptr, &present) == 0 &&
         present.sa_handler == SIG_IGN;
}

}  // namespace

Result<RelayedSignals> RelayedSignals::take() {
  RelayedSignals signals;
  sigemptyset(&signals.set_);
  sigaddset(&signals.set_, SIGCHLD);
  for (const int number : relayed)
    if (!stays_ignored(number)) sigaddset(&signals.set_, number);
  for (int number = 1; number <= SIGRTMAX; ++number)
    if (!stays_ignored(number)) std::signal(number, SIG_DFL);  // fails for SIGKILL, SIGSTOP and the C library's own
  // A reader of ours that has gone is an error of write(2).
  std::signal(SIGPIPE, SIG_IGN);
  if (sigprocmask(SIG_SETMASK, &signals.set_, nullptr) != 0) return sys_error("blocking signals");
  signals.fd_.reset(signalfd(-1, &signals.set_, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.fd_) return sys_error("making a signalfd");
  return signals;
}

std::optional<ArrivedSignal> RelayedSignals::next() const {
  signalfd_siginfo info{};
  if (read(fd_.get(), &info, sizeof info) != sizeof info) return std::nullopt;
  return ArrivedSignal{.number = static_cast<int>(info.ssi_signo), .from_kernel = info.ssi_code == SI_KERNEL};
}

ArrivedSignal RelayedSignals::wait() const {
  siginfo_t info{};
  while (sigwaitinfo(&set_, &info) < 0) {
  }
  return {.number = info.si_signo, .from_kernel = info.si_code == SI_KERNEL};
}

void RelayedSignals::give_back() {
  std::signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace nh::run
