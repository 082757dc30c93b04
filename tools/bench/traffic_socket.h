// SPDX-License-Identifier: BSD-3-Clause
// The blocking sockets of bench-traffic's client.
#pragma once

#include "src/base/address.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh::traffic {

/// Connected, SOCK_STREAM or SOCK_DGRAM. A stream's calls wait for 10 s at most, so that an answer that never comes fails the run
/// instead of hanging it; a datagram's for 1 s.
Result<UniqueFd> dial(const Endpoint& server, int type);
/// The two halves of dial(): a socket for that server, and its connect.
Result<UniqueFd> open_socket(const Endpoint& server, int type);
Result<Ok> connect_socket(int fd, const Endpoint& server);
/// Calls on this stream may wait for 60 s from now on: full buffers are before it, and a slow network has to empty them.
void wait_longer(int fd);
Result<Ok> send_all(int fd, Bytes bytes);
/// gone: the stream ended before the bytes were complete.
Result<Ok> receive_all(int fd, MutableBytes bytes);

}  // namespace nh::traffic
