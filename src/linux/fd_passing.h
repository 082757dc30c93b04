// SPDX-License-Identifier: BSD-3-Clause
// Messages with descriptors over Unix sockets (SCM_RIGHTS, unix(7)). Descriptors that were not expected are closed, and the
// message is refused with an error that says so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "src/base/address.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

/// Sends the payload (not empty), with `fd` unless it is -1. EAGAIN on a full non-blocking socket.
Result<> send_message(int socket, Bytes payload, int fd = -1);

/// The same with several, at most 253 (SCM_MAX_FD).
Result<> send_message(int socket, Bytes payload, std::span<const int> fds);

enum class FdRule : std::uint8_t { none, one, at_most_one };

struct ReceivedMessage {
  std::size_t size = 0;  ///< bytes in the buffer; 0: the peer has closed
  UniqueFd fd;           ///< close-on-exec
};

/// Receives one message. invalid: too many or too few descriptors, truncated control data (also when we are out of
/// descriptors), truncated payload of a SOCK_SEQPACKET or SOCK_DGRAM socket; all received descriptors are closed then.
Result<ReceivedMessage> receive_message(int socket, MutableBytes buffer, FdRule rule);

struct ReceivedFds {
  std::size_t size = 0;       ///< bytes in the buffer; 0: the peer has closed
  std::vector<UniqueFd> fds;  ///< close-on-exec, in the order of the sender
  bool lost = false;          ///< the kernel dropped some because we are out of descriptors
};

/// The same for up to `most` descriptors. Lost ones are reported in `lost`, not as an error.
Result<ReceivedFds> receive_fds(int socket, MutableBytes buffer, std::size_t most);

}  // namespace nh
