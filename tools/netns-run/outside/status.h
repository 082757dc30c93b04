// SPDX-License-Identifier: BSD-3-Clause
// Status: reports for other programs about a run, through descriptors and a file.
//
// The keys are bubblewrap's, so that a program that reads its output can read ours: `child-pid`, and the inode numbers of those namespaces
// that are new or joined, as `net-namespace`, `pid-namespace`, `mnt-namespace`, `ipc-namespace`, `uts-namespace` and
// `cgroup-namespace` (bwrap(1),
// --info-fd); ours has `user-namespace` and `time-namespace` too.
#pragma once

#include <sys/types.h>

#include <string>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "tools/netns-run/channel.h"
#include "tools/netns-run/plan.h"

namespace nh::run {

/// {"child-pid": 4711, "net-namespace": 4026532008, ...} without a line's end. Namespaces that are the host's are left out,
/// so are those whose number is 0.
std::string info_json(pid_t child, const NamespaceSet& set, const NamespaceInodes& inodes);

class Status {
 public:
  /// Takes over the descriptors that the plan names, and makes them close-on-exec.
  static Result<Status> take(const StatusPlan& plan);
  Status() = default;
  Status(Status&&) = default;
  Status& operator=(Status&&) = default;
  ~Status();

  /// One object on --info-fd, which is closed then; nothing the second time.
  Result<> tell_info(const std::string& json);
  /// A line on --json-status-fd.
  Result<> tell_line(const std::string& json);
  /// Writes --pid-file: whoever sees it sees all of it (a new file takes the name). It is removed with this object.
  Result<> write_pid_file(pid_t child);

  /// -1: not asked for.
  int block_fd() const { return block_.get(); }
  int userns_block_fd() const { return userns_block_.get(); }
  /// For the child after the fork: closes its copies, and gives --sync-fd away (empty: not asked for).
  UniqueFd leave_to_child();

 private:
  UniqueFd info_, json_status_, block_, userns_block_, sync_;
  std::string pid_file_, written_;
};

}  // namespace nh::run
