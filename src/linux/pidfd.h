// SPDX-License-Identifier: BSD-3-Clause
// Processes as file descriptors (pidfd_open(2)), which never refer to another process, unlike a pid that is reused.
#pragma once

#include <sys/types.h>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

/// missing: there is no such process.
Result<UniqueFd> open_pidfd(pid_t pid);
/// True once the process has ended (a zombie has).
bool has_ended(int pidfd);
/// Waits at most so long; true: it has ended.
bool wait_for_end(int pidfd, int milliseconds);
/// pidfd_send_signal(2).
Result<> signal_process(int pidfd, int signal);

}  // namespace nh
