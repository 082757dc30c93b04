// SPDX-License-Identifier: BSD-3-Clause
// RLIMIT_FSIZE (setrlimit(2)), which `ulimit -f` sets, is meant for the command. What we write ourselves (a copy of our program,
// resolv.conf and hosts, a pid file) is not subject to it, as far as an unprivileged process can choose: up to the hard limit.
#pragma once

#include <sys/resource.h>

namespace nh::run {

class RaisedFileSizeLimit {
 public:
  /// Raises the soft limit to the hard one.
  RaisedFileSizeLimit();
  RaisedFileSizeLimit(const RaisedFileSizeLimit&) = delete;
  RaisedFileSizeLimit& operator=(const RaisedFileSizeLimit&) = delete;
  /// Gives it back.
  ~RaisedFileSizeLimit() { give_back(); }
  /// Sets the limit as it was, for a child that will execute the command.
  void give_back() const;

 private:
  rlimit before_{};
  bool raised_ = false;
};

}  // namespace nh::run
