// SPDX-License-Identifier: BSD-3-Clause
#include "tools/bench/traffic_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>

namespace nh::traffic {

namespace {

void set_patience(int fd, time_t seconds) {
  const timeval patience{seconds, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

}  // namespace

Result<UniqueFd> open_socket(const Endpoint& server, int type) {
  UniqueFd fd(::socket(server.address.is_v4() ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0));
  if (!fd) return sys_error("making a socket");
  set_patience(fd.get(), type == SOCK_STREAM ? 10 : 1);
  const int on = 1;
  if (type == SOCK_STREAM) ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

Result<Ok> connect_socket(int fd, const Endpoint& server) {
  const SockAddr name(server);
  if (::connect(fd, name.get(), name.length) != 0) return sys_error("connecting to " + server.text());
  return Ok{};
}

Result<UniqueFd> dial(const Endpoint& server, int type) {
  NH_LET(fd, open_socket(server, type));
  NH_TRY(connect_socket(fd.get(), server));
  return fd;
}

void wait_longer(int fd) {
  set_patience(fd, 60);
}

Result<Ok> send_all(int fd, Bytes bytes) {
  while (!bytes.empty()) {
    const auto sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) return sys_error("sending");
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
  return Ok{};
}

Result<Ok> receive_all(int fd, MutableBytes bytes) {
  while (!bytes.empty()) {
    const auto got = ::recv(fd, bytes.data(), bytes.size(), 0);
    if (got < 0) return sys_error("receiving");
    if (got == 0) return Error{Code::gone, 0, "receiving: the server closed the connection"};
    bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
  return Ok{};
}

}  // namespace nh::traffic
