// SPDX-License-Identifier: BSD-3-Clause
// ForwardEngine: the port forwards, whole: the rules, the carriers of their flows, and what is told about them.
//
// Theory of operation. It puts together
//   RuleTable        the rules, and which carrier has which of their listeners
//   AgentStandIns    guest-side sockets for relays; asked for after the ready byte, because nobody has to wait for them: clients
//                    that come before wait in TcpForward
//   TcpForward, RelaySet   TCP on the kernel path
//   SlirpForward     TCP on the general path, where there are no stand-ins
//   UdpForward, UdpReverse   UDP
//   FdBudget         the descriptors of all that
//   EventBus         what subscribers of the control socket are told
// Without an agent (a bare TAP, frames on a socket) there are no stand-ins, and the rules say so.
//
// Ownership: owns all of the above; what the setup points to must outlive it. Everything runs in the loop's thread, but
// what RelaySet leads to threads of its own.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netstack/slirp/slirp_forward.h"
#include "netstack/tcp/tcp_forward.h"
#include "netstack/udp/udp_forward.h"
#include "netstack/udp/udp_reverse.h"
#include "src/agent/stand_in_stock.h"
#include "src/control/event_bus.h"
#include "src/control/info.h"
#include "src/control/stats.h"
#include "src/forward/rule_table.h"

namespace nh {

class ForwardEngine final : private FlowObserver {
 public:
  struct Setup {
    Loop* loop;
    EpollSet* epoll;
    FrameSink* sink;
    Neighbours* neighbours;
    SlirpStack* slirp;
    AgentLink* agent;  ///< null: there is none
    KernelPath* path;
    AddressPlan plan;
    std::uint64_t nofile;
    std::size_t general_fds;  ///< descriptors that libslirp's flows may take
    bool to_loopback = false;
    bool use_relays =
        true;  ///< false: the kernel path is off, TCP takes the general path, and nothing of ours is set up in the guest for it
    unsigned relay_threads = 0;  ///< that start_threads() starts
    std::vector<ListenFd> inherited = {};
    /// The guest addresses that UDP rules name have changed.
    std::function<void(std::vector<Address> destinations)> on_udp_destinations = {};
  };

  explicit ForwardEngine(Setup setup);
  ~ForwardEngine();
  ForwardEngine(const ForwardEngine&) = delete;
  ForwardEngine& operator=(const ForwardEngine&) = delete;

  RuleTable& rules() { return rules_; }
  EventBus& events() { return events_; }
  /// For the frame path.
  UdpForward& udp() { return udp_; }
  RelaySet& relays() { return relays_; }
  StandIns* stand_ins() { return stand_ins_.get(); }  ///< null: there is no agent

  /// The TAP's addresses: clients with one of them appear as the gateway.
  void set_guest_addresses(const std::vector<Address>& addresses);
  /// No Unix socket can be made from now on.
  void confined();
  /// As RelaySet::start_threads(); where there are no relays none is started.
  Result<> start_threads();
  /// The guest is prepared for stand-ins from now on: nobody has to wait for that. Further calls do nothing.
  void prepare_guest();

  /// Of the forwards only.
  void add_to(HelperInfo& info) const;
  void add_to(Stats& stats) const;

 private:
  bool wants_records() const override { return events_.wanted(); }
  void flow_opened(const FlowRecord& flow) override;
  void flow_closed(const FlowRecord& flow, FlowEnd end) override;
  void on_path_change(const KernelPathState& before, const KernelPathState& now);
  void on_fd_limit(bool reached);
  void publish(const Event& event);
  void follow_ports(bool on);

  Setup setup_;
  EventBus events_;
  FlowIds ids_;
  FdBudget fds_;
  std::unique_ptr<AgentStandIns> stand_ins_;  ///< null: no agent
  RelaySet relays_;
  std::optional<TcpForward> tcp_;  ///< with stand_ins_
  UdpForward udp_;
  UdpReverse udp_reverse_;
  SlirpForward slirp_;
  RuleTable rules_;
  Timer relay_deadline_, accept_deadline_, udp_deadline_, udp_reverse_deadline_;
  KernelPath::Subscription told_of_path_;
  bool prepared_ = false;
  std::uint64_t udp_opened_ = 0;
  std::array<std::uint64_t, flow_ends> udp_ended_{};
};

}  // namespace nh
