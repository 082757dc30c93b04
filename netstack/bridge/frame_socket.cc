// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/bridge/frame_socket.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "src/base/limits.h"

namespace nh {
namespace {

// recv(2) gives 0 for a packet of no bytes, too.
bool peer_has_ended(int socket) {
  pollfd look{.fd = socket, .events = POLLRDHUP, .revents = 0};
  return poll(&look, 1, 0) > 0;
}

}  // namespace

FrameSocket::FrameSocket(UniqueFd socket) : socket_(std::move(socket)), buffer_(new std::uint8_t[limits::frame_size]) {}

Result<MutableBytes> FrameSocket::read() {
  while (true) {
    // MSG_TRUNC: the packet's own length, also where the buffer is shorter. Without room for control data the kernel drops
    // descriptors that come along.
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
    // What is no frame waits for the next turn, so that many of it do not hold this one up.
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
