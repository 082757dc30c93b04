// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-ctl/client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <array>
#include <cerrno>

namespace nh::ctl {
namespace {

/// The helper answers within milliseconds, unless it is stopped (SIGSTOP).
constexpr int reply_timeout_ms = 10'000;

}  // namespace

Result<Client> Client::connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return Error{.code = Code::invalid, .what = path + ": longer than a socket's path can be (107 bytes)"};
  path.copy(address.sun_path, path.size());
  Client client(UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
  if (!client.fd_) return sys_error("making a socket");
  // connect(2) blocks while the queue of a stopped helper is full; SO_SNDTIMEO bounds that, too (unix_stream_connect() in net/unix/af_unix.c).
  const timeval timeout{.tv_sec = reply_timeout_ms / 1000, .tv_usec = 0};
  setsockopt(client.fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  if (::connect(client.fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return sys_error("connecting to " + path);
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(client.fd_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0) client.peer_ = peer.pid;
  return client;
}

Result<std::string> Client::ask(const std::string& request) {
  const std::string text = request + "\n";
  for (std::size_t sent = 0; sent < text.size();) {
    pollfd wait{fd_.get(), POLLOUT, 0};
    const int ready = poll(&wait, 1, reply_timeout_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return Error{.code = Code::timeout, .what = "the helper does not read the request"};
    const ssize_t size = send(fd_.get(), text.data() + sent, text.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (size < 0) break;  // it may have sent an error before it closed
    sent += static_cast<std::size_t>(size);
  }
  return line(reply_timeout_ms);
}

Result<std::string> Client::line(int timeout_ms) {
  std::array<char, 65536> bytes;
  for (;;) {
    if (const auto end = received_.find('\n', searched_); end != received_.npos) {
      std::string text = received_.substr(0, end);
      received_.erase(0, end + 1);
      searched_ = 0;
      return text;
    }
    searched_ = received_.size();
    pollfd wait{fd_.get(), POLLIN, 0};
    const int ready = poll(&wait, 1, timeout_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return sys_error("waiting for the helper");
    if (ready == 0) return Error{.code = Code::timeout, .what = "the helper does not answer"};
    const ssize_t size = recv(fd_.get(), bytes.data(), bytes.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return sys_error("reading the helper's reply");
    if (size == 0) return Error{.code = Code::gone, .what = "the helper has closed the connection"};
    received_.append(bytes.data(), static_cast<std::size_t>(size));
  }
}

}  // namespace nh::ctl
