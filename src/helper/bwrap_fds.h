// SPDX-License-Identifier: BSD-3-Clause
// bubblewrap's descriptors (bwrap(1)): --info-fd, which names the sandbox, and --block-fd, on which
// it waits for us.
//
// bwrap takes the end of file on its --block-fd for the byte it waits for (bubblewrap.c: the result
// of the read is not looked at). A helper that merely failed would therefore let the command run,
// without its network. So the process that waits is killed instead, as long as we know that it
// waits and have not let it go on; bwrap then ends with 137. What we cannot help: a command line of
// ours that breaks a rule, or a SIGKILL, leaves nobody to kill it; and once confined
// (confine/confine.h) we can kill nobody, but then nothing is left that could fail, except that the
// reader of the ready byte has gone.
#pragma once

#include <string_view>

#include "src/base/clock.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/helper/options.h"

namespace nh {

/// The pid in what bwrap writes to --info-fd, or in the first line of its --json-status-fd.
/// invalid: which rule is broken.
Result<pid_t> parse_bwrap_info(std::string_view json);

class BwrapSandbox {
 public:
  /// Reads the info if --bwrap-info-fd asks for it, until its object ends, and holds the process by
  /// a pidfd at once: then options.target and options.target_pidfd name it (the pidfd stays ours).
  /// Without the options it does nothing. Errors have the field bwrap-info-fd or block-fd: invalid;
  /// gone (bwrap has ended); timeout; interrupted (`signal_fd` became readable); missing (no such
  /// process).
  static Result<BwrapSandbox> open(Options& options, const Clock& clock, int signal_fd);
  BwrapSandbox(BwrapSandbox&&) = default;
  BwrapSandbox& operator=(BwrapSandbox&&) = delete;
  /// Kills the process if it waits and let_go_on() has not been called.
  ~BwrapSandbox();

  /// Writes one byte to --block-fd and closes it. gone: the process is no more.
  Result<> let_go_on();

 private:
  BwrapSandbox() = default;

  UniqueFd block_fd_;  ///< empty: nobody waits, or no longer
  UniqueFd pidfd_;
};

}  // namespace nh
