// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/inherited_fds.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <string>

#include "src/base/unique_fd.h"

namespace nh {

Result<> close_all_but(std::vector<int> kept) {
  std::erase_if(kept, [](int fd) { return fd <= STDERR_FILENO; });
  std::sort(kept.begin(), kept.end());
  unsigned first = STDERR_FILENO + 1;
  for (const int fd : kept) {
    const auto last = static_cast<unsigned>(fd);
    if (last > first && close_range(first, last - 1, 0) != 0) return sys_error("closing inherited descriptors");
    first = std::max(first, last + 1);
  }
  if (close_range(first, UINT_MAX, 0) != 0) return sys_error("closing inherited descriptors");
  return Ok{};
}

Result<int> above_standard(int fd) {
  if (fd < 0 || fd > STDERR_FILENO) return fd;
  UniqueFd moved(fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!moved || !null || dup2(null.get(), fd) < 0) return sys_error("moving descriptor " + std::to_string(fd));
  return moved.release();
}

}  // namespace nh
