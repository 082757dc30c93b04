// SPDX-License-Identifier: BSD-3-Clause
// UnixListener: a listening Unix stream socket (unix(7)) at a path that only its owner can use.
//
// The socket has mode 0600 before it is bound to a temporary name in the same directory; it listens before it is renamed to its
// path, so that whoever sees the path can connect. A socket of a killed process at the path is replaced, but only if connect(2)
// fails with ECONNREFUSED. Nothing else at the path is replaced, except plain files and links if the caller allows it. The
// directory is kept open, so that the path can be removed at the end after a change of our root; it is removed only if it is
// still our socket.
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
