// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/inherited_fds.h"

#include <linux/close_range.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

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

}  // namespace nh
