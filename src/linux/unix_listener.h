// SPDX-License-Identifier: BSD-3-Clause
// UnixListener: a listening Unix stream socket (unix(7)) at a path that only its owner can use.
//
// The socket is made under a temporary name in the same directory, with mode 0600 before it has a
// name at all, listens, and is renamed to its path: whoever sees the path can connect. A socket
// left behind by a killed process is taken over, but only when connect(2) says that nobody listens
// (ECONNREFUSED); anything else at the path is left alone,
// but for plain files and links where the caller lets them be replaced. The directory is kept open, so that the
// path can be removed at the end from wherever the process's root is by then; it is removed only if
// it still is our socket.
#pragma once

#include <sys/types.h>

#include <string>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

class UnixListener {
 public:
  /// Errors, without a field: invalid: 108 bytes or more, or something that is no socket is there; in_use: somebody listens
  /// there; else bind(2)'s.
  /// replace_file: a file or link at the path is replaced rather than refused. A directory never is, nor a socket that
  /// somebody listens on.
  static Result<UnixListener> open(const std::string& path, int backlog, bool replace_file = false);
  UnixListener(UnixListener&&) noexcept = default;
  UnixListener& operator=(UnixListener&& other) noexcept;
  ~UnixListener();

  /// Non-blocking, close-on-exec.
  int fd() const { return listener_.get(); }
  /// The directory of its path, from which its file will be removed.
  int directory_fd() const { return directory_.get(); }

 private:
  UnixListener() = default;
  void remove();

  UniqueFd directory_;
  UniqueFd listener_;
  std::string name_;  ///< within directory_
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace nh
