// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/outside/file_size_limit.h"

namespace nh::run {

RaisedFileSizeLimit::RaisedFileSizeLimit() {
  if (getrlimit(RLIMIT_FSIZE, &before_) != 0 || before_.rlim_cur == before_.rlim_max) return;
  const rlimit most{.rlim_cur = before_.rlim_max, .rlim_max = before_.rlim_max};
  raised_ = setrlimit(RLIMIT_FSIZE, &most) == 0;
}

void RaisedFileSizeLimit::give_back() const {
  if (raised_) setrlimit(RLIMIT_FSIZE, &before_);
}

}  // namespace nh::run
