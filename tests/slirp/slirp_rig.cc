// SPDX-License-Identifier: BSD-3-Clause
// This program's definitions come before those of the C library, for libslirp too.
#include "tests/slirp/slirp_rig.h"

#include <fcntl.h>
#include <sys/syscall.h>

#include <cerrno>

namespace nh::test {
namespace {

bool fails_now(int& calls) {
  if (calls == 0 || --calls != 0) return false;
  errno = ENOBUFS;
  return true;
}

}  // namespace

SocketFaults faults;

extern "C" int socket(int domain, int type, int protocol) noexcept {
  if (faults.sockets_fail) {
    errno = EMFILE;
    return -1;
  }
  if (faults.take_descriptors) faults.taken.emplace_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
  return static_cast<int>(syscall(SYS_socket, domain, type, protocol));
}
extern "C" int listen(int fd, int backlog) noexcept {
  return fails_now(faults.listens_until_failure) ? -1 : static_cast<int>(syscall(SYS_listen, fd, backlog));
}
extern "C" int getsockname(int fd, sockaddr* name, socklen_t* size) noexcept {
  return fails_now(faults.names_until_failure) ? -1 : static_cast<int>(syscall(SYS_getsockname, fd, name, size));
}

}  // namespace nh::test
