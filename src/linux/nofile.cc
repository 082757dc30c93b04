// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/nofile.h"

#include <sys/resource.h>

namespace nh {

Result<std::uint64_t> raise_nofile_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return sys_error("reading RLIMIT_NOFILE");
  if (limit.rlim_cur == limit.rlim_max) return std::uint64_t{limit.rlim_cur};
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return sys_error("raising RLIMIT_NOFILE to its hard limit");
  return std::uint64_t{limit.rlim_cur};
}

}  // namespace nh
