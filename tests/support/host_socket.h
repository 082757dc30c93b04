// SPDX-License-Identifier: BSD-3-Clause
// HostSocket: a plain UDP or TCP socket of a test on the host's loopback, and waiting for a
// condition with a deadline.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "src/base/unique_fd.h"
#include "tests/support/catch.h"
#include "tests/support/frames.h"

namespace nh::test {

/// Runs `step` until it is true. False after a generous deadline: then something is broken, not
/// slow.
template <class Step>
bool until(Step step) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!step()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    poll(nullptr, 0,
         1);  // leaves the processor to whoever else runs; what is waited for is the condition
  }
  return true;
}

struct HostDatagram {
  Endpoint from;
  std::vector<std::uint8_t> payload;
  std::string text() const { return {payload.begin(), payload.end()}; }
};

class HostSocket {
 public:
  HostSocket() = default;
  /// A non-blocking socket; bound unless the port is taken (then it is empty).
  static HostSocket bound(int type, const Endpoint& endpoint) {
    HostSocket made;
    const SockAddr address(endpoint);
    made.fd_.reset(socket(address.storage.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    REQUIRE(made.fd_);
    const int on = 1;
    if (type == SOCK_STREAM) setsockopt(made.fd_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(made.fd_.get(), address.get(), address.length) != 0) made.fd_.reset();
    return made;
  }
  static HostSocket udp(const std::string& address, std::uint16_t port = 0) { return bound(SOCK_DGRAM, at(address, port)); }

  explicit operator bool() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }
  void reset() { fd_.reset(); }
  Endpoint name() const {
    SockAddr address;
    REQUIRE(getsockname(fd_.get(), address.get(), &address.length) == 0);
    return address.endpoint().value();
  }
  std::uint16_t port() const { return name().port; }

  void send_to(const Endpoint& to, Bytes payload) const {
    const SockAddr address(to);
    REQUIRE(sendto(fd_.get(), payload.data(), payload.size(), MSG_NOSIGNAL, address.get(), address.length) ==
            static_cast<ssize_t>(payload.size()));
  }
  std::optional<HostDatagram> receive() const {
    std::vector<std::uint8_t> buffer(65536);
    SockAddr from;
    const ssize_t size = recvfrom(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT, from.get(), &from.length);
    if (size < 0) return std::nullopt;
    buffer.resize(static_cast<std::size_t>(size));
    return HostDatagram{from.endpoint().value(), buffer};
  }
  UniqueFd accept() const { return UniqueFd(accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)); }

 private:
  UniqueFd fd_;
};

}  // namespace nh::test
