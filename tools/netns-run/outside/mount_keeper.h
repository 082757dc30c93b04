// SPDX-License-Identifier: BSD-3-Clause
// MountKeeper: keeps in place what we have mounted over files and directories of the host.
//
// Theory of operation. A mount point is a directory entry, not a path. When another file is renamed over the entry, or it is removed,
// which is possible from other mount namespaces, the kernel takes the mount away in ours (fs/namei.c, detach_mounts()), and the
// command would see the host's file; when a symbolic link on the way to it is changed, the path leads past the mount. So a child
// of the launcher enters the command's user and mount namespaces, watches every directory on the way to each of these paths by
// inotify(7), and puts a copy of the lost mount over what the path leads to now. In between, for well under a millisecond on an
// idle machine, the command sees the host's file. Where a path leads nowhere the copy is mounted when it leads somewhere again.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "tools/netns-run/plan.h"

namespace nh::run {

/// The paths inside at which the plan mounts something over what belongs to the host or to the directory of --root, without those
/// below /proc, /sys and /dev, where files are not renamed.
std::vector<std::string> places_to_keep(const RootPlan& plan);

class MountKeeper {
 public:
  /// Forks it. `child`: a process in the namespaces, whose root they have, all mounts in place. It ends with that process, or
  /// with this object. An Error: the namespaces cannot be entered.
  static Result<MountKeeper> start(pid_t child, std::vector<std::string> places);
  MountKeeper(MountKeeper&& other) noexcept;
  MountKeeper& operator=(MountKeeper&&) = delete;
  ~MountKeeper();

  pid_t pid() const { return pid_; }
  /// Readable when it watches, or has ended.
  int ready_fd() const { return ready_.get(); }
  /// It has been waited for.
  void has_ended() { pid_ = -1; }

 private:
  MountKeeper() = default;
  pid_t pid_ = -1;
  UniqueFd ready_;
};

}  // namespace nh::run
