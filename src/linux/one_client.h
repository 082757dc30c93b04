// SPDX-License-Identifier: BSD-3-Clause
// One client at a Unix socket path: what --tap-socket and slirp4netns's --target-type=bess listen for.
#pragma once

#include <functional>
#include <string>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

/// Listens at `path` with mode 0600 for a socket of `type` (SOCK_STREAM, SOCK_SEQPACKET) until a client of our own user or
/// of root has connected; others are closed and logged. The file is always removed again, and a socket file that a killed process
/// has left (nobody listens) is replaced. `wait` blocks until an fd has the poll(2) events, or returns the error to
/// return. The client is non-blocking and close-on-exec. Errors: in_use: something else is at the path.
Result<UniqueFd> accept_one_client(const std::string& path, int type,
                                   const std::function<Result<>(int fd, short events)>& wait);

/// The peer of a connected Unix socket is our own user or root.
bool peer_is_ours(int socket);

}  // namespace nh
