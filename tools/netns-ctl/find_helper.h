// SPDX-License-Identifier: BSD-3-Clause
// Which helper is meant: found among the processes of this user.
//
// A helper tells its control socket by its command line (--api-socket, or -a under slirp4netns's name), which everybody may read.
// Its agent has the same one; whether a process is the one that listens is what the kernel says of the connection
// (SO_PEERCRED). /proc/net/unix would not tell: it has the name that the socket was bound to, before it was renamed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/netns-ctl/client.h"

namespace nh::ctl {

/// The value of --api-socket in a command line as /proc/PID/cmdline has it, words ended by NUL; nullopt: no helper's, or none.
std::optional<std::string> socket_of_command_line(std::string_view words);

struct FoundHelper {
  pid_t pid = 0;
  std::string socket;
  std::string target;  ///< as `info` tells it
};

struct Search {
  std::vector<FoundHelper> helpers;  ///< those that answer
  std::vector<std::string> failed;   ///< "SOCKET of pid N: reason"
};

/// All helpers of this user; for root, of everybody if `everybody`.
Search find_helpers(bool everybody);

/// Connected to the socket that was named, or to the one helper that `pid` names, or to the only one. Errors: missing: which
/// ones were tried; in_use: there are several, and which.
Result<Client> reach_helper(const std::string& socket, std::optional<std::int64_t> pid);

}  // namespace nh::ctl
