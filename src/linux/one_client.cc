// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/one_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

#include "src/base/log.h"

namespace nh {
namespace {

/// Removes the socket file that we made, unless another one has taken its place.
class SocketFile {
 public:
  explicit SocketFile(std::string path) : path_(std::move(path)) { made_ = lstat(path_.c_str(), &stat_) == 0; }
  SocketFile(const SocketFile&) = delete;
  SocketFile& operator=(const SocketFile&) = delete;
  ~SocketFile() {
    struct stat now {};
    if (made_ && lstat(path_.c_str(), &now) == 0 && now.st_dev == stat_.st_dev && now.st_ino == stat_.st_ino)
      unlink(path_.c_str());
  }

 private:
  std::string path_;
  struct stat stat_ {};
  bool made_ = false;
};

Result<UniqueFd> new_socket(int type) {
  UniqueFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return sys_error("making a socket");
  return fd;
}

/// True if nobody listens on this socket any more. Only connect(2) tells.
bool is_stale(const sockaddr_un& address, int type) {
  struct stat found {};
  if (lstat(address.sun_path, &found) != 0 || !S_ISSOCK(found.st_mode)) return false;
  const auto probe = new_socket(type);
  return probe && connect(probe->get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
         errno == ECONNREFUSED;
}

}  // namespace

bool peer_is_ours(int socket) {
  ucred peer{};
  socklen_t length = sizeof peer;
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

Result<UniqueFd> accept_one_client(const std::string& path, int type,
                                   const std::function<Result<>(int fd, short events)>& wait) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return Error{.code = Code::invalid,
                 .what = "a socket path has 1 to " + std::to_string(sizeof address.sun_path - 1) + " bytes"};
  path.copy(address.sun_path, path.size());

  NH_LET(listener, new_socket(type));
  // The mode of a socket's inode becomes that of its file (less the umask): at no time is it wider than 0600.
  if (fchmod(listener.get(), 0600) != 0) return sys_error("setting the mode of " + path);
  if (is_stale(address, type)) unlink(path.c_str());
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return sys_error("binding " + path);
  const SocketFile file(path);
  if (listen(listener.get(), 1) != 0) return sys_error("listening on " + path);
  while (true) {
    NH_TRY(wait(listener.get(), POLLIN));
    UniqueFd client(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR)) continue;
    if (!client) return sys_error("accepting on " + path);
    if (peer_is_ours(client.get())) return client;
    log::warning("a client of " + path + " is neither our user nor root; closed");
  }
}

}  // namespace nh
