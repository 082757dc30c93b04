// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/pidfd.h"

#include <poll.h>

#include <cerrno>

extern "C" {  // the header of glibc 2.36 does not say so itself
#include <sys/pidfd.h>
}

namespace nh {

Result<UniqueFd> open_pidfd(pid_t pid) {
  UniqueFd pidfd(pidfd_open(pid, 0));
  if (pidfd) return pidfd;
  const int err = errno;
  Error error = sys_error(err, "process " + std::to_string(pid));
  if (err == ESRCH) error.code = Code::missing;
  if (err == EINVAL) error.what += " (a thread, not a process)";
  return error;
}

bool wait_for_end(int pidfd, int milliseconds) {
  pollfd poll_fd{.fd = pidfd, .events = POLLIN, .revents = 0};
  return poll(&poll_fd, 1, milliseconds) > 0;
}

bool has_ended(int pidfd) {
  return wait_for_end(pidfd, 0);
}

Result<> signal_process(int pidfd, int signal) {
  if (pidfd_send_signal(pidfd, signal, nullptr, 0) != 0) return sys_error("sending a signal");
  return Ok{};
}

}  // namespace nh
