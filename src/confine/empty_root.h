// SPDX-License-Identifier: BSD-3-Clause
// Stage empty_root: a mount namespace whose root is a small read-only tmpfs (mount_namespaces(7),
// pivot_root(2)).
#pragma once

#include <cstdint>
#include <span>

#include "src/base/result.h"

namespace nh {

enum class RootContent : std::uint8_t {
  nothing,
  /// /etc and /run, read-only, without programs, devices and what belongs to logged-in users
  /// (/run/user). The directories and not the file: resolv.conf is replaced by rename, is often a
  /// link into /run, and the link may change. Where links lead elsewhere, that is there too: the whole
  /// top directory (/nix, /opt), so that links may come to lead to other places in it, but only the
  /// directory of the file where that is below /home, /var, /usr or the like.
  resolver_configuration
};

/// The descriptor of a directory that stays usable after the change of root. It is replaced, under the same number, by one of the
/// same directory from which what is above it cannot be reached.
struct KeptDirectory {
  int fd;  ///< not owned; -1: none
  bool writable = false;
};

/// Should: leave nothing of the host's files in reach but `content` and `directories`. New mounts
/// of the host below /run still arrive. Separates System V IPC and the host name too. Must not:
/// mount, unmount or propagate anything outside; leave the old root reachable by a path, a
/// descriptor of `directories`, or "..". Needs CAP_SYS_ADMIN in our user namespace, and Linux 5.12
/// (mount_setattr(2)). Errors: denied without it; missing: one of `directories` cannot be found by
/// its path any more.
Result<> enter_empty_root(RootContent content, std::span<const KeptDirectory> directories);

}  // namespace nh
