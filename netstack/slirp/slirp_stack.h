// SPDX-License-Identifier: BSD-3-Clause
// SlirpStack: libslirp, the general path. Its .cc is the only place that includes libslirp.h.
//
// Theory of operation. Frames of the guest go in by input(), frames for the guest come out at the FrameSink, from
// inside input(), serve() or a timer. serve() is one turn of libslirp: its ready sockets and its timers are served, then
// it is asked which events it wants next. pollfds_fill and pollfds_poll walk all sockets, so the bridge calls serve() once
// a turn of the loop, after a whole batch of frames; and always, also when the TAP was readable, because a guest that
// uploads must not starve its own downloads. Single-threaded; no callback throws or re-enters.
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
  bool segment_offload = false;        ///< the TAP takes and gives many TCP segments in one frame
  bool dns = true;                     ///< offer the DNS address in DHCP and router advertisements
  std::optional<Address> outbound_v4;  ///< source of outgoing connections
  std::optional<Address> outbound_v6;
};

class SlirpStack {
 public:
  /// `loop`, `epoll` and `sink` must outlive the stack.
  static Result<std::unique_ptr<SlirpStack>> create(const SlirpSetup& setup, Loop& loop, EpollSet& epoll, FrameSink& sink);
  ~SlirpStack();
  SlirpStack(const SlirpStack&) = delete;
  SlirpStack& operator=(const SlirpStack&) = delete;

  /// A frame that the guard has passed. With a libslirp before 4.8.0 it goes through a SequenceGate.
  void input(Bytes frame);
  /// One turn: ready sockets, timers, new wishes. Returns how long libslirp can wait for the next one without events.
  Duration serve();
  /// True if a socket has become ready since the last serve().
  bool wants_service() const { return sockets_.any_ready(); }

  /// A TCP port forward; host port 0 lets the kernel choose. Returns the endpoint that is listened on.
  /// unsupported: the two addresses have different families.
  Result<Endpoint> add_forward(const Endpoint& host, const Endpoint& guest);
  /// `host` as add_forward returned it; established flows stay.
  void remove_forward(const Endpoint& host);

  std::size_t tcp_flows() const { return sockets_.count(SlirpSockets::Kind::tcp); }
  std::size_t udp_flows() const { return sockets_.count(SlirpSockets::Kind::udp); }
  std::size_t icmp_flows() const { return sockets_.count(SlirpSockets::Kind::icmp); }
  /// Host sockets that flows may take; at the limit the listeners of forwards pause until sockets are closed.
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
  std::unique_ptr<SequenceGate> gate_;  ///< null: this libslirp does not need it
  std::size_t budget_ = SIZE_MAX;
};

}  // namespace nh
