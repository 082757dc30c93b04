// SPDX-License-Identifier: BSD-3-Clause
// ControlSocket: the control socket's listener (linux/unix_listener.h) and who may be its client.
#pragma once

#include <sys/types.h>

#include <string>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/linux/unix_listener.h"

namespace nh {

class ControlSocket {
 public:
  /// Errors are UnixListener's, `field` = "api-socket". replace_file: as slirp4netns does.
  static Result<ControlSocket> open(const std::string& path, bool replace_file = false);

  /// Non-blocking, close-on-exec.
  int fd() const { return listener_.fd(); }
  /// The directory of its path, from which its file will be removed.
  int directory_fd() const { return listener_.directory_fd(); }

  /// The next client, non-blocking and close-on-exec. Error timeout: nobody waits; exhausted: no fd
  /// is left.
  Result<UniqueFd> accept() const;

 private:
  explicit ControlSocket(UnixListener listener) : listener_(std::move(listener)) {}
  UnixListener listener_;
};

/// May this peer give orders? Its uid as SO_PEERCRED tells it must be ours or root's.
bool peer_allowed(uid_t peer, uid_t own);
/// The uid of a connected peer.
Result<uid_t> peer_uid(int fd);

}  // namespace nh
