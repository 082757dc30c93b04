// SPDX-License-Identifier: BSD-3-Clause
// ForegroundJob: gives the terminal back to our process group.
//
// A command that does job control (a shell) makes a process group of its own the terminal's foreground one. It cannot give
// it back: in a new pid namespace our group has no number. Without this, a script that runs a shell in netns-run could not
// read from its terminal afterwards.
#pragma once

#include <sys/types.h>

namespace nh::run {

class ForegroundJob {
 public:
  /// Remembers whether our process group is the foreground one of the terminal at standard input, output or error.
  ForegroundJob();
  ForegroundJob(const ForegroundJob&) = delete;
  ForegroundJob& operator=(const ForegroundJob&) = delete;
  /// Makes it so again.
  ~ForegroundJob();

 private:
  int terminal_ = -1;  // not owned
};

}  // namespace nh::run
