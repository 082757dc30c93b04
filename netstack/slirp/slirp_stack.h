// SPDX-License-Identifier: BSD-3-Clause
// SlirpStack: libslirp, the general path. Its .cc is the only place that includes libslirp.h.
//
// Theory of operation. The guest's frames go in by input(). Frames for the guest are given to the FrameSink, from within input(),
// serve() or a timer of the loop. serve() handles libslirp's ready sockets and its timers, then asks which events it wants next.
// Both walk all sockets (slirp_pollfds_poll, slirp_pollfds_fill), so the bridge calls serve() once a turn of the loop, after a
// batch of frames. It does so in each turn, also while the TAP has more frames: otherwise a guest's upload would starve its
// downloads. All calls are of the loop's thread; no callback throws, and none calls back into the stack.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "netstack/frame/frame_sink.h"
#include "netstack/guard/sequence_gate.h"
#include "netstack/plan/address_plan.h"
#include "netstack/slirp/slirp_sockets.h"
#include "src/loop/loop.h"

namespace nh {

struct SlirpSetup {
  AddressPlan plan;
  bool allow_host_loopback = false;
  bool segment_offload = false;             ///< a frame of the TAP may hold a TCP segment larger than the MTU (TSO)
  bool dns = true;                          ///< announce the DNS address by DHCP and router advertisements
  std::optional<Address> outbound_v4 = {};  ///< source of outgoing connections
  std::optional<Address> outbound_v6 = {};
};

class SlirpStack {
 public:
  /// `loop`, `epoll` and `sink` must outlive the stack.
  static Result<std::unique_ptr<SlirpStack>> create(const SlirpSetup& setup, Loop& loop, EpollSet& epoll, FrameSink& sink);
  ~SlirpStack();
  SlirpStack(const SlirpStack&) = delete;
  SlirpStack& operator=(const SlirpStack&) = delete;

  /// A frame of the guest that FrameGuard has accepted. With a libslirp before 4.8.0 it also passes a SequenceGate.
  void input(Bytes frame);
  /// Handles ready sockets and timers. Returns the time after which it must be called again if no socket gets ready before.
  Duration serve();
  /// True if a socket has become ready since the last serve().
  bool wants_service() const { return sockets_.any_ready(); }

  /// A TCP port forward, whose listener is watched when this returns. With host port 0 the kernel chooses a port. Returns the
  /// endpoint that is listened on. After an error there is no listener. unsupported: the two addresses have different families;
  /// others as of bind(2) and listen(2).
  Result<Endpoint> add_forward(const Endpoint& host, const Endpoint& guest);
  /// `host` is what add_forward() returned. Established flows stay.
  void remove_forward(const Endpoint& host);

  std::size_t tcp_flows() const { return sockets_.count(SlirpSockets::Kind::tcp); }
  std::size_t udp_flows() const { return sockets_.count(SlirpSockets::Kind::udp); }
  std::size_t icmp_flows() const { return sockets_.count(SlirpSockets::Kind::icmp); }
  /// Most host sockets of flows; when as many are open, the listeners of forwards pause until one is closed.
  void set_socket_budget(std::size_t sockets) { budget_ = sockets; }
  /// True if `endpoint` is the local end of one of our TCP flows.
  bool owns_flow(const Endpoint& endpoint) const { return sockets_.has_local(endpoint); }

  static std::string library_version();
  /// The SlirpConfig version that we use of it.
  static unsigned config_version();

 private:
  friend struct SlirpCallbacks;
  SlirpStack(Loop& loop, EpollSet& epoll, FrameSink& sink);

  struct Impl;
  std::unique_ptr<Impl> impl_;
  Loop& loop_;
  FrameSink& sink_;
  SlirpSockets sockets_;
  std::unique_ptr<SequenceGate> gate_;  ///< null with libslirp 4.8.0 and later
  std::size_t budget_ = SIZE_MAX;
};

}  // namespace nh
