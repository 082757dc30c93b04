// SPDX-License-Identifier: BSD-3-Clause
// Channel: the messages between the launcher, outside, and its child, inside, while a run is being prepared.
//
// Theory of operation. One SOCK_SEQPACKET pair a run, close-on-exec at both ends; each message is a kind and, for some, a
// payload.
//   child                                     launcher
//   unshared ───────────────────────────────> writes the id maps
//            <─────────────────────────────── release
//   moved (pid) ────────────────────────────> the run goes on in another process (after a fork into new namespaces)
//   prepared (namespaces) ──────────────────> waits for the network and for --block-fd, writes to --info-fd
//            <─────────────────────────────── go
//   failed (exit code, text), or the end of the channel by the exec
// At any point the launcher may send abort, or go away: the child then ends without having run anything. The byte that
// releases is never 0, so that a stray zero cannot (an aborting launcher of another version may write one).
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/linux/namespace.h"

namespace nh::run {

enum class Order : std::uint8_t { abort = 0, release = 1, go = 2 };

/// Inode numbers of the command's namespaces, by NamespaceType; 0: the kernel has no such kind.
using NamespaceInodes = std::array<std::uint64_t, all_namespace_types.size()>;

struct Report {
  enum class Kind : std::uint8_t { unshared = 1, moved, prepared, failed, closed };
  Kind kind = Kind::closed;
  pid_t pid = 0;             ///< moved: in the launcher's pid namespace
  NamespaceInodes inodes{};  ///< prepared
  int exit_code = 0;         ///< failed
  std::string text = {};     ///< failed
};

/// One end; the descriptor is close-on-exec.
class Channel {
 public:
  Channel() = default;
  explicit Channel(UniqueFd fd) : fd_(std::move(fd)) {}
  static Result<std::pair<Channel, Channel>> make_pair();

  int fd() const { return fd_.get(); }
  explicit operator bool() const { return static_cast<bool>(fd_); }
  void close() { fd_.reset(); }

  // The child's side.
  Result<> report(const Report& report) const;
  /// Waits. interrupted: the launcher said abort, or is gone; `step` says what it was waited for.
  Result<> await(Order order, const std::string& step) const;

  // The launcher's side.
  Result<> order(Order order) const;
  /// Orders the child, and one that has taken its place, to abort; reports can still be read.
  void give_up() const;
  /// The next report; Kind::closed at the end. Waits.
  Result<Report> next() const;

 private:
  UniqueFd fd_;
};

}  // namespace nh::run
