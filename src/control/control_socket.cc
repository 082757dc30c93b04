// SPDX-License-Identifier: BSD-3-Clause
#include "src/control/control_socket.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>

#include "src/base/limits.h"

namespace nh {

Result<ControlSocket> ControlSocket::open(const std::string& path, bool replace_file) {
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return Error{.code = Code::invalid, .what = "the specified API socket path is too long (>= 108)", .field = "api-socket"};
  auto listener = UnixListener::open(path, static_cast<int>(limits::control_clients), replace_file);
  if (listener) return ControlSocket(std::move(listener).value());
  Error error = std::move(listener).error().in("API socket " + path);
  error.field = "api-socket";
  return error;
}

Result<UniqueFd> ControlSocket::accept() const {
  UniqueFd client(accept4(listener_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (client) return client;
  if (errno == EAGAIN) return Error{.code = Code::timeout, .sys_errno = EAGAIN, .what = "no client waits"};
  return sys_error("accepting a control client");
}

bool peer_allowed(uid_t peer, uid_t own) {
  return peer == own || peer == 0;
}

Result<uid_t> peer_uid(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return sys_error("asking for the peer's uid");
  return credentials.uid;
}

}  // namespace nh
