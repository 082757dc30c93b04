// SPDX-License-Identifier: BSD-3-Clause
// OciDirectory: what the OCI hook keeps of one container: BASE/netns-helper/oci/NAME with the files
// pid (the helper's), container-pid, log and control (its socket).
//
// BASE is $XDG_RUNTIME_DIR, else /run/user/UID, else /run for root, else /tmp with UID in the name;
// each directory below it is mode 0700 and ours, or is refused. UID is our user's also where we are
// root of a user namespace, as the hooks of rootless engines are. NAME is made of the id and the
// bundle, which together are one container even if two runtimes use an id; nothing of the id gets
// into it that could lead elsewhere.
//
// The directory itself is locked (flock(2)) by the hook that starts a helper, and the lock goes
// with the descriptor to the helper, for its whole life. So a directory that is not locked belongs
// to nobody: it may be removed, which each hook does to those it finds. And while it is locked by a
// helper, the number in pid is that helper's and no other process's.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "src/base/clock.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

class OciDirectory {
 public:
  /// Makes it and locks it. in_use: a living helper has it and does not let go of it within
  /// limits::oci_lock_wait.
  static Result<OciDirectory> make(const std::string& id, const std::string& bundle, const Clock& clock);
  /// Ends the helper that holds it, if one does, and removes it, wherever it may be. Nothing to do
  /// is no error. timeout: it is held and does not say by whom.
  static Result<> clean(const std::string& id, const std::string& bundle, const Clock& clock);
  /// True if a living helper has it and serves this process.
  static bool serves(const std::string& id, const std::string& bundle, pid_t container);

  /// For tests: the last part of the path. Bounded: 37 bytes.
  static std::string name_of(const std::string& id, const std::string& bundle);

  /// The lock's descriptor: whoever has a copy of it holds the directory.
  int fd() const { return fd_.get(); }
  /// The absolute path of a file in it.
  std::string path(std::string_view file) const { return path_ + "/" + std::string(file); }
  /// Writes one of the small files.
  Result<> write_number(const char* file, pid_t number) const;
  /// A new, empty log, for appending.
  Result<UniqueFd> open_log() const;
  /// Removes everything; the lock must be ours.
  Result<> remove();

 private:
  OciDirectory(UniqueFd base, UniqueFd fd, std::string base_path, std::string name);
  static std::vector<OciDirectory> find(const std::string& name);
  static Result<std::optional<OciDirectory>> make_in(const std::string& base_path, UniqueFd base, const std::string& name);
  Result<bool> lock() const;
  bool is_linked() const;
  std::optional<pid_t> read_number(const char* file) const;
  Result<> end_holder(const Clock& clock);

  UniqueFd base_, fd_;
  std::string name_, path_;
};

}  // namespace nh
