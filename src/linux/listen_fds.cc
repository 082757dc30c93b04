// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/listen_fds.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "src/base/number.h"

namespace nh {
namespace {

constexpr int first_fd = 3;                // SD_LISTEN_FDS_START
constexpr std::uint64_t most_fds = 65536;  // bounds the loop; beyond any limit of descriptors in use

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value != nullptr ? value : "";
}

Error fault(Code code, std::string_view name, const std::string& rule) {
  return Error{.code = code, .what = "host_fd \"" + std::string(name) + "\" " + rule, .field = "host_fd"};
}

Result<const ListenFd*> find(const std::vector<ListenFd>& inherited, std::string_view name) {
  const ListenFd* found = nullptr;
  for (const ListenFd& one : inherited) {
    if (one.name != name) continue;
    if (found != nullptr) return fault(Code::invalid, name, "is the name of several inherited listeners; give the index");
    found = &one;
  }
  if (found != nullptr) return found;
  const auto index = parse_unsigned(name, 0, most_fds, "host_fd");
  if (index && *index < inherited.size()) return &inherited[*index];
  return fault(Code::missing, name,
               inherited.empty()
                   ? "cannot be had: no listener was inherited (LISTEN_FDS, sd_listen_fds(3))"
                   : "is neither a name in LISTEN_FDNAMES nor an index below " + std::to_string(inherited.size()));
}

bool option_is(int fd, int name, int wanted) {
  int value = -1;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 && value == wanted;
}

}  // namespace

std::vector<ListenFd> take_listen_fds() {
  const std::string pid = variable("LISTEN_PID"), count = variable("LISTEN_FDS"), names = variable("LISTEN_FDNAMES");
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) unsetenv(name);
  const auto meant = parse_unsigned(pid, 1, INT32_MAX, "LISTEN_PID");
  const auto fds = parse_unsigned(count, 1, most_fds, "LISTEN_FDS");
  std::vector<ListenFd> found;
  if (!meant || !fds || static_cast<pid_t>(*meant) != getpid()) return found;
  std::string_view rest = names;
  for (int fd = first_fd; fd < first_fd + static_cast<int>(*fds); ++fd) {
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return {};
    const auto colon = rest.find(':');
    const std::string_view name = rest.substr(0, colon);
    found.push_back({.fd = fd, .name = name.empty() ? "unknown" : std::string(name)});
    rest = colon == rest.npos ? std::string_view() : rest.substr(colon + 1);
  }
  return found;
}

Result<UniqueFd> copy_of_listener(const std::vector<ListenFd>& inherited, std::string_view name) {
  NH_LET(found, find(inherited, name));
  if (!option_is(found->fd, SO_TYPE, SOCK_STREAM) || !option_is(found->fd, SO_ACCEPTCONN, 1))
    return fault(Code::invalid, name, "is no stream socket that listens");
  UniqueFd copy(fcntl(found->fd, F_DUPFD_CLOEXEC, 0));
  const int flags = copy ? fcntl(copy.get(), F_GETFL) : -1;
  if (flags < 0 || fcntl(copy.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    return sys_error("copying the inherited listener " + found->name);
  return copy;
}

}  // namespace nh
