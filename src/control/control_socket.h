// SPDX-License-Identifier: BSD-3-Clause
// ControlSocket: a listening Unix stream socket (unix(7)) at a path that only its owner can use.
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

class ControlSocket {
 public:
  /// Errors, `field` = "api-socket": invalid: 108 bytes or more, or something that is no socket is
  /// there; in_use: somebody listens there; else bind(2)'s.
  /// replace_file: a file or link at the path is replaced rather than refused, as slirp4netns does. A
  /// directory never is, nor a socket that somebody listens on.
  static Result<ControlSocket> open(const std::string& path, bool replace_file = false);
  ControlSocket(ControlSocket&&) noexcept = default;
  ControlSocket& operator=(ControlSocket&& other) noexcept;
  ~ControlSocket();

  /// Non-blocking, close-on-exec.
  int fd() const { return listener_.get(); }
  /// The directory of its path, from which its file will be removed.
  int directory_fd() const { return directory_.get(); }

  /// The next client, non-blocking and close-on-exec. Error timeout: nobody waits; exhausted: no fd
  /// is left.
  Result<UniqueFd> accept() const;

 private:
  ControlSocket() = default;
  void remove();

  UniqueFd directory_;
  UniqueFd listener_;
  std::string name_;  ///< within directory_
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

/// May this peer give orders? Its uid as SO_PEERCRED tells it must be ours or root's.
bool peer_allowed(uid_t peer, uid_t own);
/// The uid of a connected peer.
Result<uid_t> peer_uid(int fd);

}  // namespace nh
