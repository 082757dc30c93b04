// SPDX-License-Identifier: BSD-3-Clause
// Listeners inherited from a service manager: LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES (sd_listen_fds(3),
// sd_listen_fds_with_names(3)).
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

/// The inherited listeners, close-on-exec from now on; the variables are unset. Empty: the variables are missing, are for another
/// process, or do not name open descriptors.
std::vector<ListenFd> take_listen_fds();

/// A duplicate of the listener with this name or index (from 0). Errors, with the field host_fd: missing: there is none; invalid:
/// it is not a listening stream socket, or several have the name.
Result<UniqueFd> copy_of_listener(const std::vector<ListenFd>& inherited, std::string_view name);

}  // namespace nh
