// SPDX-License-Identifier: BSD-3-Clause
// A client of a Unix socket that is served by a loop in the same thread: it never waits, it turns
// the loop.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include "src/base/unique_fd.h"
#include "src/loop/loop.h"

namespace nh::test {

class UnixClient {
 public:
  explicit UnixClient(const std::string& path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    connect_errno_ = connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
  }

  int fd() const { return fd_.get(); }
  int connect_errno() const { return connect_errno_; }
  /// Bytes taken by the kernel, or -1.
  ssize_t send(std::string_view text) { return ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL); }
  void half_close() { shutdown(fd_.get(), SHUT_WR); }

  /// Takes what is there now.
  void take() {
    std::array<char, 65536> bytes;
    for (;;) {
      const ssize_t size = recv(fd_.get(), bytes.data(), bytes.size(), 0);
      if (size > 0) {
        received_.append(bytes.data(), static_cast<std::size_t>(size));
        continue;
      }
      if (size == 0) ended_ = true;
      if (size < 0 && errno != EAGAIN) error_ = errno;
      return;
    }
  }

  /// The next line with its newline; what is there if there is none after many turns of the loop.
  std::string line(Loop& loop) {
    for (int turns = 0; turns < 20000 && !ended_ && error_ == 0 && received_.find('\n') == std::string::npos; ++turns) {
      loop.turn(false);
      take();
    }
    const auto end = received_.find('\n');
    std::string text = received_.substr(0, end == std::string::npos ? end : end + 1);
    received_.erase(0, text.size());
    return text;
  }

  /// All until the end of file; "(open)" is added if there is none after many turns of the loop.
  std::string all(Loop& loop) {
    for (int turns = 0; turns < 20000 && !ended_ && error_ == 0; ++turns) {
      loop.turn(false);
      take();
    }
    if (error_ != 0) received_ += std::string("(") + std::strerror(error_) + ")";
    return received_ + (ended_ || error_ != 0 ? "" : "(open)");
  }

  bool ended() const { return ended_; }
  const std::string& received() const { return received_; }

 private:
  UniqueFd fd_;
  int connect_errno_ = 0;
  int error_ = 0;
  bool ended_ = false;
  std::string received_;
};

inline void turn(Loop& loop, int turns = 50) {
  for (int i = 0; i < turns; ++i) loop.turn(false);
}

}  // namespace nh::test
