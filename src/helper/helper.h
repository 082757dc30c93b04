// SPDX-License-Identifier: BSD-3-Clause
// Helper: the owner of every part. START HERE.
//
// Theory of operation. start() attaches to the guest (attachment.h: the agent is forked, the TAP is made), builds the
// stations of the frame path (netstack/bridge/tap_bridge.h) while the agent configures the interfaces, then the forwards and
// the control socket, gives up what it no longer needs (src/confine/confine.h), writes the ready byte and, unless it is confined,
// starts the relay threads after that. run() is the main loop. Everything lives in one thread and one process, next to the agent,
// but the bytes of large flows, which the relay threads move (netstack/relay/relay_threads.h). The members below stand in the order of
// their construction; each may use those before it, and they are destroyed in reverse. What ends run(): a signal, the exit
// fd, the target's end (all exit_asked), the loss of the TAP (exit_failure). The agent's death ends nothing: what flows goes
// on, and `info` tells.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netstack/bridge/frame_device.h"
#include "netstack/bridge/tap_bridge.h"
#include "src/confine/confine.h"
#include "src/control/control_server.h"
#include "src/control/info.h"
#include "src/forward/forward_engine.h"
#include "src/helper/attachment.h"
#include "src/helper/options.h"
#include "src/helper/outbound_engine.h"

namespace nh {

class Helper {
 public:
  /// Up to and including the ready byte. `signals` is watched from here on and must outlive the helper; `nofile` is the
  /// limit that holds.
  static Result<std::unique_ptr<Helper>> start(const Options& options, const UniqueFd& signals, std::uint64_t nofile);
  ~Helper();

  /// Runs until something ends it; gives the exit code.
  int run();
  /// The signal that ended run(), or 0.
  int ended_by_signal() const { return ended_by_signal_; }
  HelperInfo info() const;
  Stats stats() const;

 private:
  Helper(const Options& options, const UniqueFd& signals, std::uint64_t nofile, Attachment attachment);

  Result<> open_device();
  Result<> build_stations();
  Result<> finish_attachment();
  Result<> add_forwards();
  Result<> open_control_socket();
  void watch_lifecycle();
  void on_device_gone(const Error& error);
  Result<> wait_for_kernel_path();
  Result<> confine();
  void start_threads();
  Result<> tell_ready();
  void on_guest_state(const TapState& state);
  void set_guest_state(const TapState& state);
  void on_agent_lost(const Error& error);
  void check_path();

  Options options_;
  const UniqueFd& signals_;
  std::uint64_t nofile_;
  Attachment attachment_;
  std::vector<std::string> notes_;
  Confinement confinement_;
  UniqueFd exit_fd_, sync_fd_;
  int ended_by_signal_ = 0;

  Loop loop_;
  Instant started_ = loop_.clock().now();
  KernelPath kernel_path_;
  std::optional<EpollSet> flows_;
  std::unique_ptr<FrameDevice> device_;
  std::optional<TapOutput> output_;
  std::optional<Neighbours> neighbours_;
  std::optional<FrameGuard> guard_;
  std::unique_ptr<SlirpStack> slirp_;
  std::optional<ForwardEngine> forwards_;
  std::unique_ptr<DnsForwarder> dns_;
  std::optional<OutboundEngine> outbound_;
  std::optional<TapBridge> bridge_;
  std::unique_ptr<ControlServer> control_;
  Watch signal_watch_, exit_watch_, sync_watch_, target_watch_;
  Timer path_timer_, dns_deadline_;
};

}  // namespace nh
