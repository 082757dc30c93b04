// SPDX-License-Identifier: BSD-3-Clause
// Finds the helper that is meant among the processes of this user.
//
// A helper's command line, which everybody may read, has the path of its control socket (--api-socket, or -a under
// slirp4netns's name). The agent has the same command line; SO_PEERCRED of a connection tells which of the two listens.
// /proc/net/unix does not help: it has the name that the socket was bound to before it was renamed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/netns-ctl/client.h"

namespace nh::ctl {

/// The value of --api-socket in a command line in /proc/PID/cmdline's form (words that end in NUL); nullopt: not a helper's
/// command line, or no such option.
std::optional<std::string> socket_of_command_line(std::string_view words);

struct FoundHelper {
  pid_t pid = 0;
  std::string socket;
  std::string target;  ///< as in `info`
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
