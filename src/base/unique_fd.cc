// SPDX-License-Identifier: BSD-3-Clause
#include "src/base/unique_fd.h"

#include <unistd.h>

#include <cerrno>

namespace nh {

void UniqueFd::reset(int fd) {
  const int old = std::exchange(fd_, fd);
  if (old < 0) return;
  // On Linux close(2) releases the descriptor even when it reports EINTR: never try again. errno is kept, because
  // owners die on error paths whose caller has yet to read it.
  const int saved = errno;
  ::close(old);
  errno = saved;
}

}  // namespace nh
