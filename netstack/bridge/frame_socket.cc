// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/bridge/frame_socket.h"

#include <sys/socket.h>

#include <cerrno>

#include "src/base/limits.h"

namespace nh {

FrameSocket::FrameSocket(UniqueFd socket) : socket_(std::move(socket)), buffer_(new std::uint8_t[limits::frame_size]) {}

Result<MutableBytes> FrameSocket::read() {
  while (true) {
    // MSG_TRUNC: the packet's own length, also where the buffer is shorter. Without room for control data the kernel drops
    // descriptors that come along.
    const ssize_t got = recv(socket_.get(), buffer_.get(), limits::frame_size, MSG_DONTWAIT | MSG_TRUNC);
    if (got == 0) return Error{.code = Code::gone, .what = "the peer has closed its socket"};
    if (got < 0) {
      if (errno == EAGAIN) return MutableBytes();
      if (errno == EINTR) continue;
      if (errno == ECONNRESET) return Error{.code = Code::gone, .what = "the peer has closed its socket"};
      return sys_error("receiving a frame");
    }
    const auto size = static_cast<std::size_t>(got);
    if (size <= limits::frame_size) return MutableBytes(buffer_.get(), size);
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
