// SPDX-License-Identifier: BSD-3-Clause
// TapBridge: reads the guest's frames from the TAP and gives each to the part that handles it.
//
//   TAP -> FrameGuard -> 1. ARP, neighbour discovery       SlirpStack
//                        2. answer to a forwarded datagram UdpForward (before Reachability: a client's translated address may be
//                                                          one that the guest may not dial)
//                        3. segment of a relay             back into the TAP (tcp_stray)
//                        4. Reachability refuses           ICMP unreachable, counted
//                        5. TCP SYN                        OutboundTcp: the kernel path; what it declines goes on
//                        6. DNS                            DnsForwarder (UDP), DnsRedirect and SlirpStack (TCP)
//                        7. everything else                SlirpStack
//
// Theory of operation. In a batch of events up to limits::tap_batch frames are read if the TAP is readable. At the end of the
// batch libslirp is served once if a frame went in, one of its sockets is ready or a timer of its own is due, and the merged
// output is flushed. Nothing here blocks. A frame with an unknown source address is kept until the agent has answered whether
// the guest has just got that address. When the TAP disappears the bridge stops reading and calls Hooks::on_gone.
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

  /// Half of the descriptors that are left after limits::reserved_fds; the other half is for forwards.
  static FlowLimits for_descriptors(std::size_t nofile);
};

/// What the bridge hands frames to. None is owned, all must outlive the bridge. `dns` may be null.
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
  std::optional<DnsRedirect> redirect;  ///< equal to `output`'s; nullopt without DNS
};

class TapBridge final : private EpollSet::Handler {
 public:
  struct Counters {
    std::uint64_t frames = 0, bytes = 0;  ///< from the guest
    std::uint64_t refused_loopback = 0, refused_link_local = 0, refused_virtual = 0, ignored = 0;
    std::uint64_t errors_sent = 0, errors_suppressed = 0;  ///< our ICMP errors: sent, and beyond the rate limit
    std::uint64_t turns = 0;                               ///< times that libslirp was served
    std::uint64_t strays = 0;                              ///< segments of relays that came through the TAP
  };
  struct Hooks {
    /// Asks the agent for the guest's addresses; set_guest_state() is called with the answer. Empty: there is no agent.
    std::function<void()> ask_addresses;
    /// The TAP is gone; the bridge has stopped reading.
    std::function<void(const Error&)> on_gone;
  };

  TapBridge(Loop& loop, EpollSet& epoll, const BridgeParts& parts, const AddressPlan& plan, const ReachRules& rules,
            const FlowLimits& limits, Hooks hooks);
  ~TapBridge() override;

  Result<> start();
  /// Replaces the TAP's addresses: the sources that the guard passes.
  void set_guest_state(const std::vector<Address>& addresses, const MacAddress& mac);
  /// Replaces the addresses behind the guest that UDP forwards lead to. The guard passes them as sources too, but only for
  /// answers to those forwards.
  void set_forward_destinations(std::vector<Address> addresses);
  /// Sends a SYN that OutboundTcp had taken on the general path. Not re-entrant: not from within a call of the bridge.
  void take_back(Bytes syn);
  /// There is no agent any more: the addresses stay as they are, kept frames are dropped.
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
  void tcp_segment(Packet& packet);
  void tcp_stray(const Packet& packet);
  void general_path(Packet& packet, Reach reach);
  void to_slirp(const Packet& packet);
  void feed(Bytes frame);
  void set_guard_sources();
  bool is_forward_destination_only(const Address& source) const;
  void dns(Packet& packet);
  void refuse(const Packet& packet, std::uint64_t& counter);
  void keep_until_known(Bytes frame);

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
  bool tap_was_ready_ = false;  ///< the same for the batch before
  bool fed_ = false;            ///< libslirp got a frame in this batch
  bool output_watched_ = false;

  std::vector<std::vector<std::uint8_t>> unknown_source_frames_;
  bool addresses_asked_ = false;  ///< the agent has not answered yet
  Instant last_asked_{};
  std::vector<Address> tap_addresses_, forward_destinations_;
  Instant stray_window_{};
  std::uint32_t strays_in_window_ = 0;
  Instant error_window_{};
  std::uint32_t errors_in_window_ = 0;
  Counters counters_;
};

}  // namespace nh
