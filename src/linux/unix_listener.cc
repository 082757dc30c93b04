// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/unix_listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <optional>

namespace nh {
namespace {

/// A name in an open directory as a socket address: through /proc it is short, however deep the
/// directory is.
sockaddr_un address_in(const UniqueFd& directory, const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const int size =
      std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", directory.get(), name.c_str());
  if (size < 0 || static_cast<std::size_t>(size) >= sizeof address.sun_path) address.sun_path[0] = '\0';
  return address;
}

const sockaddr* generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

Result<UniqueFd> new_socket() {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return sys_error("creating a socket");
  return fd;
}

/// The file at a name; nullopt: none.
Result<std::optional<struct stat>> look(const UniqueFd& directory, const std::string& name) {
  struct stat found {};
  if (fstatat(directory.get(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0) return std::optional(found);
  if (errno == ENOENT) return std::optional<struct stat>();
  return sys_error("examining the file there");
}

/// Ok if nobody listens on the socket at this name. Only connect(2) tells.
Result<> check_stale(const UniqueFd& directory, const std::string& name) {
  NH_LET(probe, new_socket());
  const sockaddr_un address = address_in(directory, name);
  if (address.sun_path[0] == '\0') return Error{.code = Code::invalid, .what = "the file name is too long"};
  if (connect(probe.get(), generic(address), sizeof address) == 0 || errno == EAGAIN)
    return Error{.code = Code::in_use, .what = "another process listens there; stop it or choose another path"};
  if (errno == ECONNREFUSED) return Ok{};
  if (errno == EPROTOTYPE)
    return Error{.code = Code::in_use, .sys_errno = errno, .what = "another process uses a socket of another type there"};
  return sys_error("testing whether a process listens there");
}

/// Renames `temporary` to `name`, replacing `stale` if there is one, and nothing else.
Result<> put_in_place(int directory, const char* temporary, const char* name, const std::optional<struct stat>& stale) {
  if (!stale) {
    if (renameat2(directory, temporary, directory, name, RENAME_NOREPLACE) == 0) return Ok{};
    if (errno != EINVAL) return sys_error("renaming the socket to its place");
    // The file system does not support RENAME_NOREPLACE; link(2) does not replace either.
    if (linkat(directory, temporary, directory, name, 0) != 0) return sys_error("linking the socket to its place");
    unlinkat(directory, temporary, 0);
    return Ok{};
  }
  if (renameat2(directory, temporary, directory, name, RENAME_EXCHANGE) != 0) {
    if (errno != EINVAL) return sys_error("exchanging the stale socket");
    if (renameat(directory, temporary, directory, name) != 0) return sys_error("replacing the stale socket");
    return Ok{};
  }
  struct stat out {};
  const bool as_seen = fstatat(directory, temporary, &out, AT_SYMLINK_NOFOLLOW) == 0 && out.st_ino == stale->st_ino &&
                       out.st_dev == stale->st_dev;
  if (!as_seen) {
    // Another process has taken the path meanwhile: undo.
    if (renameat2(directory, temporary, directory, name, RENAME_EXCHANGE) != 0) return sys_error("restoring the path");
    return Error{.code = Code::in_use, .what = "another process has taken the path meanwhile"};
  }
  unlinkat(directory, temporary, 0);
  return Ok{};
}

}  // namespace

Result<UnixListener> UnixListener::open(const std::string& path, int backlog, bool replace_file) {
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return Error{.code = Code::invalid, .what = "the path is too long (>= 108)"};
  const auto slash = path.rfind('/');
  const std::string parent = slash == path.npos ? "." : path.substr(0, slash + 1);
  UnixListener made;
  made.name_ = slash == path.npos ? path : path.substr(slash + 1);
  if (made.name_.empty() || made.name_ == "." || made.name_ == ".." || path.find('\0') != path.npos)
    return Error{.code = Code::invalid, .what = "the path must end in a file name"};
  made.directory_.reset(::open(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!made.directory_) return sys_error("opening its directory");

  auto found = look(made.directory_, made.name_);
  if (!found) return std::move(found).error();
  if (*found) {
    if (S_ISSOCK((*found)->st_mode)) {
      if (auto stale = check_stale(made.directory_, made.name_); !stale) return std::move(stale).error();
    } else if (!replace_file || S_ISDIR((*found)->st_mode)) {
      return Error{.code = Code::invalid, .what = "a file that is not a socket is there"};
    }
  }

  auto listener = new_socket();
  if (!listener) return std::move(listener).error();
  const std::string temporary = ".netns-helper." + std::to_string(getpid());
  const sockaddr_un address = address_in(made.directory_, temporary);
  // The mode of the socket becomes the mode of the file (unix(7); net/unix/af_unix.c,
  // unix_bind_bsd), less the umask.
  if (fchmod(listener->get(), S_IRUSR | S_IWUSR) != 0) return sys_error("setting its mode");
  unlinkat(made.directory_.get(), temporary.c_str(),
           0);  // left by a killed process that had our pid
  if (bind(listener->get(), generic(address), sizeof address) != 0) return sys_error("binding");
  struct stat own {};
  Result<> placed = Ok{};
  if (listen(listener->get(), backlog) != 0) {
    placed = sys_error("listening");
  } else if (fstatat(made.directory_.get(), temporary.c_str(), &own, AT_SYMLINK_NOFOLLOW) != 0) {
    placed = sys_error("examining the new socket");
  } else {
    placed = put_in_place(made.directory_.get(), temporary.c_str(), made.name_.c_str(), *found);
  }
  if (!placed) {
    unlinkat(made.directory_.get(), temporary.c_str(), 0);
    return std::move(placed).error();
  }
  made.device_ = own.st_dev;
  made.inode_ = own.st_ino;
  made.listener_ = std::move(*listener);
  return made;
}

UnixListener& UnixListener::operator=(UnixListener&& other) noexcept {
  if (this != &other) {
    remove();
    directory_ = std::move(other.directory_);
    listener_ = std::move(other.listener_);
    name_ = std::move(other.name_);
    device_ = other.device_;
    inode_ = other.inode_;
  }
  return *this;
}

UnixListener::~UnixListener() {
  remove();
}

void UnixListener::remove() {
  if (!listener_) return;
  struct stat found {};
  if (fstatat(directory_.get(), name_.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0 && found.st_ino == inode_ &&
      found.st_dev == device_)
    unlinkat(directory_.get(), name_.c_str(), 0);
  listener_.reset();
}

}  // namespace nh
