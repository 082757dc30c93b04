// SPDX-License-Identifier: BSD-3-Clause
// Target: what names the guest, opened once and then held by descriptors.
//
// A pid is opened as a pidfd before its namespaces are, and the process must still run after that: only then do the descriptors
// belong to it and not to a process that has got the same pid. The user namespace to join is the owner of the network
// namespace (owner_of), unless --userns names another. The namespace of a received TAP is found by TUNGETDEVNETNS if the
// kernel permits; otherwise the target is a bare TAP, without a namespace and without an agent.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "src/base/clock.h"
#include "src/base/limits.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

enum class TargetKind : std::uint8_t { pid, netns_path, netns_fd, tap_fd, tap_socket, frame_socket };

struct Target {
  TargetKind kind = TargetKind::pid;
  std::string text;  ///< as the user named it
  UniqueFd pidfd;    ///< kind pid: readable when the process has ended
  UniqueFd netns;    ///< empty: a bare TAP
  UniqueFd userns;   ///< to be joined before netns; empty: none needs to be (we are in the owner, or cannot enter it)
  UniqueFd tap;      ///< kinds tap_fd and tap_socket
  UniqueFd path_directory = {};  ///< after hold_path()
  UniqueFd frames;               ///< kind frame_socket: a connected SOCK_SEQPACKET, each packet one Ethernet frame

  /// kind netns_path: from now on the path is looked up from its directory, which path_directory keeps open, so that it works
  /// after a change of our root. No effect for other kinds.
  Result<> hold_path();

  /// kind netns_path: true if the path is not `netns` any more (removed, unmounted, another namespace); false if it cannot be
  /// examined for another reason. false for every other kind.
  bool path_gone() const;
  /// kind pid: true once the process has ended. false for every other kind.
  bool process_gone() const;
};

/// The value of --userns; empty: not given.
using UsernsText = std::string_view;

/// "--pid": field `pid` in errors. missing: no such process; gone: it ended meanwhile; denied: not ours or not
/// dumpable; invalid: it is in our own network namespace.
Result<Target> open_pid_target(std::string_view text, UsernsText userns = {});
/// The same with a pidfd of that process.
Result<Target> open_pid_target(pid_t pid, UniqueFd pidfd, UsernsText userns = {});

/// "--netns PATH|FD": field `netns`.
Result<Target> open_netns_target(std::string_view text, UsernsText userns = {});

/// "--tap-fd FD": field `tap-fd`. The inherited descriptor is taken over.
Result<Target> open_tap_fd_target(std::string_view text, UsernsText userns = {});

/// "--tap-socket PATH|FD": field `tap-socket`; waits (tap_socket.h). timeout, or interrupted when signal_fd
/// becomes readable (-1: none).
Result<Target> open_tap_socket_target(std::string_view text, const Clock& clock, int signal_fd, UsernsText userns = {},
                                      Duration wait = limits::tap_socket_wait);

/// A guest behind a Unix socket: listens at `path` until one client has come, and takes each of its packets for a frame
/// (one_client.h; User Mode Linux connects so). interrupted when signal_fd becomes readable (-1: none).
Result<Target> open_frame_socket_target(const std::string& path, int signal_fd);

}  // namespace nh
