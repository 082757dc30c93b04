// SPDX-License-Identifier: BSD-3-Clause
// RLIMIT_FSIZE (setrlimit(2)), which `ulimit -f` sets, is meant for the command. What we write ourselves (a copy of our program,
// resolv.conf and hosts, a pid file) shall not meet it, as far as an unprivileged process may say so: up to the hard limit.
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
  /// For a process that goes on as somebody else: the limit as it was.
  void give_back() const;

 private:
  rlimit before_{};
  bool raised_ = false;
};

}  // namespace nh::run
