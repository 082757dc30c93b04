// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/tap_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <string>

#include "src/base/number.h"
#include "src/linux/fd_passing.h"
#include "src/linux/one_client.h"

namespace nh {

namespace {

constexpr std::string_view field_name = "tap-socket";

Error refused(Code code, std::string what) {
  return Error{.code = code, .sys_errno = 0, .what = std::move(what), .field = std::string(field_name)};
}

/// The parameters of the wait.
struct Wait {
  const Clock& clock;
  Instant deadline;
  int signal_fd;

  Result<> until(int fd, short events) const {
    while (true) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock.now()).count();
      if (left <= 0) return refused(Code::timeout, "timed out");
      std::array<pollfd, 2> fds{
          {{.fd = fd, .events = events, .revents = 0}, {.fd = signal_fd, .events = POLLIN, .revents = 0}}};
      const int ready = poll(fds.data(), fds.size(), static_cast<int>(std::min<long>(left, INT_MAX)));
      if (ready < 0 && errno != EINTR) return sys_error("waiting for a TAP");
      if (ready > 0 && fds[1].revents != 0) return refused(Code::interrupted, "stopped while waiting for a TAP");
      if (ready > 0 && fds[0].revents != 0) return Ok{};
    }
  }
};

Result<UniqueFd> take_from(int socket, const Wait& wait) {
  NH_TRY(wait.until(socket, POLLIN));
  std::array<std::uint8_t, 4096> payload;  // any bytes; ignored
  auto message = receive_message(socket, payload, FdRule::one);
  if (!message) {
    Error error = std::move(message).error();
    error.field = field_name;
    return error;
  }
  if (!message->fd) return refused(Code::gone, "the peer closed the socket before it sent a TAP");
  return std::move(message->fd);
}

Result<UniqueFd> take_from_path(const sockaddr_un& address, const std::string& path, const Wait& wait) {
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET}) {
    UniqueFd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return sys_error("making a socket");
    if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
      if (!peer_is_ours(socket.get())) return refused(Code::denied, "the listener is neither our user nor root");
      return take_from(socket.get(), wait);
    }
    if (errno == EPROTOTYPE) continue;  // it listens with the other type
    const int err = errno;
    Error error = sys_error(err, "connecting to " + path);
    error.field = field_name;
    if (err == ECONNREFUSED) error.what += " (the socket exists, but nobody listens on it; remove the file)";
    return error;
  }
  return refused(Code::invalid, path + " is neither a SOCK_STREAM nor a SOCK_SEQPACKET socket");
}

Result<UniqueFd> take_at_path(const std::string& path, const Wait& wait) {
  auto client = accept_one_client(path, SOCK_STREAM, [&wait](int fd, short events) { return wait.until(fd, events); });
  if (client) return take_from(client->get(), wait);
  Error error = std::move(client).error();
  error.field = field_name;
  return error;
}

Result<UniqueFd> take_inherited(std::string_view text, const Wait& wait) {
  NH_LET(number, parse_unsigned(text, 0, INT_MAX, field_name));
  UniqueFd socket(fcntl(static_cast<int>(number), F_DUPFD_CLOEXEC, 3));
  if (!socket) return sys_error("taking the inherited descriptor " + std::string(text));
  int domain = 0;
  socklen_t length = sizeof domain;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0 || domain != AF_UNIX)
    return refused(Code::invalid, "descriptor " + std::string(text) + " is not a Unix socket");
  return take_from(socket.get(), wait);
}

}  // namespace

Result<UniqueFd> receive_tap(std::string_view text, const Clock& clock, int signal_fd, Duration wait_time) {
  const Wait wait{.clock = clock, .deadline = clock.now() + wait_time, .signal_fd = signal_fd};
  if (!text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos) return take_inherited(text, wait);

  const std::string path(text);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return refused(Code::invalid, "a socket path has 1 to " + std::to_string(sizeof address.sun_path - 1) + " bytes");
  path.copy(address.sun_path, path.size());
  struct stat present {};
  if (stat(path.c_str(), &present) != 0) {
    if (errno == ENOENT) return take_at_path(path, wait);
    return sys_error("examining " + path);
  }
  if (!S_ISSOCK(present.st_mode)) return refused(Code::in_use, path + " exists and is not a socket");
  return take_from_path(address, path, wait);
}

}  // namespace nh
