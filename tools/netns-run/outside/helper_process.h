// SPDX-License-Identifier: BSD-3-Clause
// HelperProcess: the netns-helper of this run, started and watched by the launcher.
//
// It is started before the TAP exists, so that its start overlaps with the making of the namespaces, and receives the TAP
// from the child over a socket. It has a session of its own: what the terminal sends to our process group is not for it. It
// ends when the last writing end of its exit pipe goes, whoever is killed.
#pragma once

#include <sys/types.h>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "tools/netns-run/plan.h"

namespace nh::run {

/// What launcher, child and helper share, made before any of them is started; all close-on-exec.
struct HelperPipes {
  UniqueFd tap_helper, tap_child;    ///< the TAP's way, a socket pair
  UniqueFd ready_read, ready_write;  ///< one byte when the network is ready
  UniqueFd exit_read, exit_write;    ///< its end is the helper's
  static Result<HelperPipes> make();
};

class HelperProcess {
 public:
  /// Takes the helper's ends of `pipes`, and exit_write unless the child is to hold it. missing: there is no such
  /// program.
  static Result<HelperProcess> start(const NetworkPlan& plan, HelperPipes& pipes);
  HelperProcess(HelperProcess&& other) noexcept;
  HelperProcess& operator=(HelperProcess&&) = delete;
  /// Kills a helper that is still there.
  ~HelperProcess();

  pid_t pid() const { return pid_; }
  int ready_fd() const { return ready_.get(); }
  /// After ready_fd became readable. failed: it ended without having become ready; it has said why itself.
  Result<> take_ready();
  /// Ends it and waits for that: asked to by its exit pipe, killed if it does not go.
  void stop();
  /// It has been waited for.
  void has_ended() { pid_ = -1; }

 private:
  HelperProcess() = default;
  pid_t pid_ = -1;
  UniqueFd ready_, exit_;
};

/// `path` if it is given, else netns-helper beside our own program, else the first one in PATH. missing: none is there.
Result<std::string> find_helper(const std::string& path);
/// The whole command line; the descriptors are the helper's own.
std::vector<std::string> helper_command(const NetworkPlan& plan, const std::string& program, int tap_socket, int ready,
                                        int exit);

}  // namespace nh::run
