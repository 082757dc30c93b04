// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/outside/signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdint>

namespace nh::run {
bool stays_ignored(int number) {
  struct sigaction present {};
  return (number == SIGHUP || number == SIGINT || number == SIGQUIT) && sigaction(number, nullptr, &present) == 0 &&
         present.sa_handler == SIG_IGN;
}

Result<RelayedSignals> RelayedSignals::take() {
  RelayedSignals signals;
  sigemptyset(&signals.set_);
  for (int number = 1; number <= SIGRTMAX; ++number) {
    if (stays_ignored(number)) continue;
    std::signal(number, SIG_DFL);  // fails for SIGKILL, SIGSTOP and those that the C library keeps for itself
    sigaddset(&signals.set_, number);
  }
  if (sigprocmask(SIG_SETMASK, &signals.set_, nullptr) != 0) return sys_error("blocking signals");
  signals.fd_.reset(signalfd(-1, &signals.set_, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.fd_) return sys_error("making a signalfd");
  return signals;
}

std::optional<ArrivedSignal> RelayedSignals::next() const {
  signalfd_siginfo info{};
  while (read(fd_.get(), &info, sizeof info) == sizeof info) {
    const bool own = info.ssi_code == SI_USER && info.ssi_pid == static_cast<std::uint32_t>(getpid());
    if (own) continue;
    ArrivedSignal arrived{.number = static_cast<int>(info.ssi_signo),
                          .from_kernel = info.ssi_code == SI_KERNEL,
                          .queued = info.ssi_code == SI_QUEUE};
    arrived.value.sival_ptr = reinterpret_cast<void*>(info.ssi_ptr);
    return arrived;
  }
  return std::nullopt;
}

ArrivedSignal RelayedSignals::wait() const {
  while (true) {
    siginfo_t info{};
    if (sigwaitinfo(&set_, &info) < 0) continue;
    if (info.si_code == SI_USER && info.si_pid == getpid()) continue;
    return {.number = info.si_signo,
            .from_kernel = info.si_code == SI_KERNEL,
            .queued = info.si_code == SI_QUEUE,
            .value = info.si_value};
  }
}

void stop_as_the_terminal_asks(int number) {
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, number);
  raise(number);
  sigprocmask(SIG_UNBLOCK, &only, nullptr);
  sigprocmask(SIG_BLOCK, &only, nullptr);
}

void ArrivedSignal::pass_on(pid_t pid) const {
  if (queued)
    sigqueue(pid, number, value);
  else
    kill(pid, number);
}

void RelayedSignals::give_back() {
  // A write of ours that met a limit or a closed pipe must not end the command.
  sigset_t own;
  sigemptyset(&own);
  sigaddset(&own, SIGPIPE);
  sigaddset(&own, SIGXFSZ);
  constexpr timespec at_once{};
  while (sigtimedwait(&own, nullptr, &at_once) > 0) {
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace nh::run
