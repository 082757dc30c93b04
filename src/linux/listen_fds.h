// SPDX-License-Identifier: BSD-3-Clause
// The listeners that a service manager has opened for us: LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES, as sd_listen_fds(3) and
// sd_listen_fds_with_names(3) define them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

struct ListenFd {
  int fd = -1;
  std::string name;  ///< of LISTEN_FDNAMES; "unknown" where there is none
};

/// What the environment says, close-on-exec from now on; the variables are unset. Empty: they are not there, are not meant for
/// this process, or say something else than descriptors that are open.
std::vector<ListenFd> take_listen_fds();

/// The descriptors that a name or an index (from 0) stands for, and a copy of the one to be used. missing: there is none;
/// invalid: it is no stream socket that listens, or several have the name. `field` is host_fd.
Result<UniqueFd> copy_of_listener(const std::vector<ListenFd>& inherited, std::string_view name);

}  // namespace nh
