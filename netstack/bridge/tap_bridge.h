// SPDX-License-Identifier: BSD-3-Clause
// TapBridge: the way of the guest's frames, station by station.
//
//   TAP -> FrameGuard -> Reachability -> DNS to .3                       DnsForwarder (UDP), DnsRedirect (TCP)
//                                     -> answer to a forwarded datagram  UdpForward (asked first: its clients may appear
//                                                                        under an address the guest may not dial)
//                                     -> refused                         ICMP unreachable, counted
//                                     -> TCP SYN                         OutboundTcp (also to .3), if it will have it
//                                     -> everything else                 SlirpStack
//
// Theory of operation. A batch of events takes up to limits::tap_batch frames if the TAP is readable; at its end libslirp
// is served once, if a frame went in, one of its sockets is ready or its time has come, and the merged output is flushed.
// Nothing here ever waits. A frame whose source address is unknown is kept for the moment that the agent
// takes to say whether the guest has just got that address. When the TAP goes away the bridge stops reading and tells.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "netstack/bridge/tap_output.h"
#include "netstack/bridge/udp_flow_limit.h"
#include "netstack/dns/dns_forwarder.h"
#include "netstack/frame/neighbours.h"
#include "netstack/guard/frame_guard.h"
#include "netstack/plan/reachability.h"
#include "netstack/relay/relay_set.h"
#include "netstack/slirp/slirp_stack.h"
#include "netstack/tcp/outbound_tcp.h"
#include "netstack/udp/udp_forward.h"
#include "src/loop/epoll_set.h"
#include "src/loop/loop.h"

namespace nh {

/// How many flows may live in libslirp; from limits.h and RLIMIT_NOFILE.
struct FlowLimits {
  std::size_t tcp, udp, icmp;

  /// Shares of the descriptors that are left after limits::reserved_fds: half of them, the other half is for forwards.
  static FlowLimits for_descriptors(std::size_t nofile);
};

/// The stations; none is owned, all outlive the bridge. `dns` may be null.
struct BridgeParts {
  FrameDevice* device;
  TapOutput* output;
  FrameGuard* guard;
  Neighbours* neighbours;
  SlirpStack* slirp;
  UdpForward* udp_forward;
  const RelaySet* relays;
  OutboundTcp* outbound;  ///< null: all connections of the guest take the general path
  DnsForwarder* dns;
  std::optional<DnsRedirect> redirect;  ///< the same that `output` has; nullopt without DNS
};

class TapBridge final : private EpollSet::Handler {
 public:
  struct Counters {
    std::uint64_t frames = 0, bytes = 0;  ///< from the guest
    std::uint64_t refused_loopback = 0, refused_link_local = 0, refused_virtual = 0, ignored = 0;
    std::uint64_t errors_sent = 0, errors_suppressed = 0;  ///< ICMP errors of ours; the rate limit
    std::uint64_t turns = 0;                               ///< in which libslirp was served
    std::uint64_t strays = 0;  ///< segments of relays that came by the TAP, and were written back
  };
  struct Hooks {
    /// Asks for the guest's present addresses; the answer comes as set_guest_state. Empty: there is no agent.
    std::function<void()> ask_addresses;
    /// The TAP is gone; the bridge has stopped.
    std::function<void(const Error&)> on_gone;
  };

  TapBridge(Loop& loop, EpollSet& epoll, const BridgeParts& parts, const AddressPlan& plan, const ReachRules& rules,
            const FlowLimits& limits, Hooks hooks);
  ~TapBridge() override;

  Result<> start();
  /// The TAP's present addresses: the sources that the guard lets through.
  void set_guest_state(const std::vector<Address>& addresses, const MacAddress& mac);
  /// Addresses behind the guest that UDP forwards lead to: the guard lets their answers through, and nothing else of theirs.
  void set_goals(std::vector<Address> addresses);
  /// A SYN that OutboundTcp had taken, and gives back: for the general path. Not from within a call of the bridge's.
  void take_back(Bytes syn);
  /// Nobody answers questions about addresses any longer: the last known ones hold, kept frames are dropped.
  void agent_lost();
  const Counters& counters() const { return counters_; }

 private:
  void on_ready(int fd, std::uint32_t events) override;
  void serve();
  void end_of_batch();
  void watch_output();
  void stop_reading();
  void take_frames();
  void frame(MutableBytes frame);
  void packet(Packet& packet);
  void general(Packet& packet, Reach reach);
  void to_slirp(const Packet& packet);
  void feed(Bytes frame);
  void tell_guard();
  bool is_goal(const Address& source) const;
  void stray(const Packet& packet);
  void dns(Packet& packet);
  void refuse(const Packet& packet, std::uint64_t& counter);
  void park(Bytes frame);

  Loop& loop_;
  EpollSet& epoll_;
  BridgeParts parts_;
  AddressPlan plan_;
  Reachability reachability_;
  FlowLimits limits_;
  Hooks hooks_;
  UdpFlowLimit udp_limit_;
  Timer slirp_timer_;
  bool reading_ = false;        ///< the TAP is in the epoll
  bool tap_ready_ = false;      ///< the TAP had frames in this batch
  bool tap_was_ready_ = false;  ///< and in the one before
  bool fed_ = false;            ///< libslirp got a frame in this batch
  bool output_watched_ = false;

  std::vector<std::vector<std::uint8_t>> parked_;
  bool asked_ = false;
  Instant last_question_{};
  std::vector<Address> tap_addresses_, goals_;
  Instant stray_window_{};
  std::uint32_t strays_in_window_ = 0;
  Instant error_window_{};
  std::uint32_t errors_in_window_ = 0;
  Counters counters_;
};

}  // namespace nh
