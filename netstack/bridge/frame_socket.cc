// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/bridge/frame_socket.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "src/base/limits.h"

namespace nh {
namespace {

// Tells the end of the connection from an empty packet; recv(2) returns 0 for both.
bool peer_has_ended(int socket) {
  pollfd look{.fd = socket, .events = POLLRDHUP, .revents = 0};
  return poll(&look, 1, 0) > 0;
}

}  // namespace

FrameSocket::FrameSocket(UniqueFd socket) : socket_(std::move(socket)), buffer_(new std::uint8_t[limits::frame_size]) {}

Result<MutableBytes> FrameSocket::read() {
  while (true) {
    // MSG_TRUNC: returns the packet's length even if the buffer is shorter. There is no room for control data, so the kernel
    // closes descriptors that were sent along.
    const ssize_t got = recv(socket_.get(), buffer_.get(), limits::frame_size, MSG_DONTWAIT | MSG_TRUNC);
    if (got == 0 && peer_has_ended(socket_.get()))
      return Error{.code = Code::gone, .what = "the peer has closed its socket"};
    if (got < 0) {
      if (errno == EAGAIN) return MutableBytes();
      if (errno == EINTR) continue;
      if (errno == ECONNRESET) return Error{.code = Code::gone, .what = "the peer has closed its socket"};
      return sys_error("receiving a frame");
    }
    const auto size = static_cast<std::size_t>(got);
    // A packet that is no frame ends the batch, so that a flood of them cannot hold up the turn.
    return size <= limits::frame_size ? MutableBytes(buffer_.get(), size) : MutableBytes();
  }
}

Taken FrameSocket::write(Bytes frame, const Offload&) {
  while (true) {
    if (send(socket_.get(), frame.data(), frame.size(), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return Taken::yes;
    if (errno == EINTR) continue;
    return errno == EAGAIN ? Taken::later : Taken::lost;
  }
}

}  // namespace nh
