// SPDX-License-Identifier: BSD-3-Clause
// Signals as an fd: GLib's own signal sources start a worker thread, which namespaces and seccomp do not like.
#pragma once

#include <initializer_list>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

/// Gives every signal its default meaning again and unblocks all (a parent may have left SIGCHLD ignored or SIGTERM
/// blocked), ignores SIGPIPE and SIGXFSZ (a log at its limit ends nothing), then blocks `signals` and returns a non-blocking signalfd(2) that reports them.
Result<UniqueFd> take_signals(std::initializer_list<int> signals);

/// The next pending signal's number, or 0 when there is none.
int next_signal(const UniqueFd& signal_fd);

}  // namespace nh
