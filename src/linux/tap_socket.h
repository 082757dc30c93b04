// SPDX-License-Identifier: BSD-3-Clause
// --tap-socket: one TAP received through SCM_RIGHTS over a Unix socket.
//
// A path that is a socket is connected to; a path that does not exist is listened on with mode 0600, its client must
// have our uid or be root, and the file is removed again. Digits alone are an inherited, connected Unix socket. The
// message may carry any bytes; exactly one descriptor must come with it. Blocking, for start-up only.
#pragma once

#include <string_view>

#include "src/base/clock.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

/// The received descriptor, not yet checked for being a TAP. timeout: nothing came within `wait`; interrupted:
/// signal_fd (-1: none) became readable; in_use: the path is something else than a socket, or nobody listens on it.
Result<UniqueFd> receive_tap(std::string_view text, const Clock& clock, int signal_fd, Duration wait);

}  // namespace nh
