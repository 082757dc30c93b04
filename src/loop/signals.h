// SPDX-License-Identifier: BSD-3-Clause
// Signals by signalfd(2). GLib's signal sources would start a worker thread, and setns(2) into a user namespace fails with one.
#pragma once

#include <initializer_list>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

/// Resets every signal to its default action and unblocks all (a parent may have left SIGCHLD ignored or SIGTERM blocked),
/// ignores SIGPIPE and SIGXFSZ (a log file at its size limit must not end the process), then blocks `signals` and returns a
/// non-blocking signalfd(2) that reports them. SIGHUP, SIGINT and SIGQUIT that are ignored stay ignored, and are not reported, as
/// nohup(1) expects, and a shell that starts a background job of a script (POSIX, Shell Command Language, 2.11).
Result<UniqueFd> take_signals(std::initializer_list<int> signals);

/// The next pending signal's number, or 0 when there is none.
int next_signal(const UniqueFd& signal_fd);

}  // namespace nh
