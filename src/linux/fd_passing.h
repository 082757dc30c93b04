// SPDX-License-Identifier: BSD-3-Clause
// Messages with at most one descriptor over Unix sockets (SCM_RIGHTS, unix(7)). Whatever else a peer sends along is
// closed, and refused with a name.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/base/address.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

/// Sends the payload (not empty), with `fd` unless it is -1. EAGAIN on a full non-blocking socket.
Result<> send_message(int socket, Bytes payload, int fd = -1);

enum class FdRule : std::uint8_t { none, one, at_most_one };

struct ReceivedMessage {
  std::size_t size = 0;  ///< bytes in the buffer; 0: the peer has closed
  UniqueFd fd;           ///< close-on-exec
};

/// Receives one message. invalid: too many or too few descriptors, truncated control data (also when we are out of
/// descriptors), truncated payload of a SOCK_SEQPACKET or SOCK_DGRAM socket; all received descriptors are closed then.
Result<ReceivedMessage> receive_message(int socket, MutableBytes buffer, FdRule rule);

}  // namespace nh
