// SPDX-License-Identifier: BSD-3-Clause
// `netns-helper oci-hook`: a hook of an OCI runtime (runtime-spec, config.md, "POSIX-platform Hooks") that gives a container its
// network.
//
// Theory of operation. The runtime runs the hook with the container's state on standard input, and waits. At createRuntime
// (prestart, poststart) the hook holds the container's process by a pidfd, puts the command line of a helper together from its own
// options and the container's annotations (annotations.h), has it parsed, and forks: the child becomes the helper, in a session of
// its own, with nothing of the runtime's open, since runc waits until nobody holds its pipes. The child's standard error is a log
// file (directory.h). The hook waits for the ready byte and ends with 0, or quotes the log as the reason. The helper ends with the
// container's process. At poststop, which the status "stopped" tells, what is left is removed.
//
// An unprivileged hook cannot look into a process that has made itself not dumpable, as crun's has by then. If config.json names
// the network namespace by path, that path is taken instead, and the helper watches the process all the same.
//
// The hook does not know what a helper is: the program hands it one as HookedHelper.
#pragma once

#include <string>
#include <vector>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

/// The helper, as far as the hook needs it: a command line that can be checked before the fork, and run after it.
class HookedHelper {
 public:
  virtual ~HookedHelper() = default;

  /// Takes the options and the TAP's name, without the program's name, in place of those of an earlier call. invalid: they break a
  /// rule, end at once (--help, --version), or name a descriptor, of which a hook's helper has none.
  virtual Result<> parse(const std::vector<std::string>& words) = 0;

  /// What the hook adds to the options; the descriptors stay open as long as the process lives.
  struct Start {
    int container_pidfd = -1;  ///< the helper ends with this process
    int ready_fd = -1;         ///< gets one byte when the network is ready
    int held_fd = -1;          ///< stays open as long as the helper lives: the lock of its directory
    std::string api_socket;    ///< where the options name none; empty: none
  };
  /// Runs the helper that the last parse() described in this process, to its end; gives the exit code.
  virtual int serve(const Start& start) = 0;
};

/// argv[0] is "oci-hook". Gives the hook's exit code; the forked child ends by exit(3) in here. Must run before any thread exists.
int oci_hook_main(int argc, char** argv, HookedHelper& helper);

}  // namespace nh
