// SPDX-License-Identifier: BSD-3-Clause
// OutboundTcp: the guest's connections as relays.
//
// Theory of operation. The guest's SYN comes by the TAP. It is kept, and a host socket dials the same address (or what it
// means, plan/reachability.h). What becomes of that is what the guest is told:
//   connected        a stand-in with the dialled address connects to the guest's waiting socket (TCP simultaneous open, RFC 9293
//                    3.5); once that is open the two are a relay (relay_set.h). A guest that has given up meanwhile answers the
//                    stand-in with a reset, which ends the host's connection too.
//   refused          RST|ACK
//   no way there     the ICMP error of that errno, quoting the SYN
//   not answered     nothing, as the host was told
// So connect(2) in the guest ends as it did on the host, and each connection waits for itself only. Further copies of the SYN
// are swallowed. A guest that gives up while the host still dials says nothing; it is known by the copy that does not come
// (RFC 6298 2: the first after 1 s; Linux tcp_syn_linear_timeouts: then every second, later at twice the time), and the host
// socket is closed. Were it only late, the next copy dials again.
//
// The general path takes a SYN when the family has no kernel path (KernelPathState::takes_outbound), its options ask for what a
// stand-in does not speak (MPTCP, TCP-MD5, TCP-AO), its addresses are link-local, or no descriptor is left. Copies of a SYN go the way
// of the first (general_syns.h). A stand-in that does not get through within limits::outbound_open means that the steering is broken
// (steering_trust.h). What becomes of the connection itself depends on what the guest has heard. Nothing, as a copy of its SYN
// tells: the host's connection is reset, and the general path takes it. The stand-in's SYN, when only its own answer went astray:
// then it can be connected to nobody but this stand-in, which is why that stays for limits::outbound_late, until the repaired
// steering brings the answer's next copy, or the end of it a reset.
//
// Ownership: owns no socket (RelaySet does); what the setup points to must outlive it, and all its flows must end before it dies
// or with it. Single-threaded; neither sleeps nor blocks. Memory: a connection under way costs its SYN's frame and two small
// entries, an open one nothing here.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "netstack/frame/frame_sink.h"
#include "netstack/frame/packet.h"
#include "netstack/plan/address_plan.h"
#include "netstack/plan/reachability.h"
#include "netstack/relay/kernel_path.h"
#include "netstack/relay/relay_set.h"
#include "netstack/relay/stand_ins.h"
#include "netstack/tcp/general_syns.h"
#include "netstack/tcp/steering_trust.h"

namespace nh {

struct OutboundTcpSetup {
  const Clock* clock;
  RelaySet* relays;
  StandIns* stand_ins;
  KernelPath* path;
  FrameSink* sink;
  AddressPlan plan;
  std::optional<Address> source_v4 = {}, source_v6 = {};  ///< of the host's connections, but for those to its loopback
  bool required = false;  ///< what cannot be a relay is refused, and does not take the general path
  /// Our end of a connection to the DNS forwarder; an empty one: it takes no more. Empty: there is none.
  std::function<UniqueFd()> dial_dns = {};
  /// Where a SYN that was kept is given to when it is for the general path after all.
  std::function<void(Bytes frame)> general = {};
};

class OutboundTcp final : public Relay::Waiter {
 public:
  explicit OutboundTcp(OutboundTcpSetup setup);
  ~OutboundTcp() override;
  OutboundTcp(const OutboundTcp&) = delete;
  OutboundTcp& operator=(const OutboundTcp&) = delete;

  /// The address that the guest agent's proofs dial (agent::SteeringRequest), of a family that the plan has: the DNS address, on a port
  /// that nobody serves.
  static std::optional<Endpoint> proof_address(const AddressPlan& plan, Family family);
  /// A segment to there: to be dropped.
  bool is_proof(const Packet& segment) const;

  /// A SYN, judged `reach` (outside, host_loopback or dns). False: it is for the general path.
  bool take(const Packet& syn, Reach reach);
  /// Any other segment for `relay`, which has no stand-in yet.
  void take_early(const Packet& segment, Relay& relay);
  /// Any other segment for `relay`, which has one: a stray (TapBridge).
  void see_stray(const Packet& segment, Relay& relay);

  /// When expire() has something to do; Instant::max(): never.
  Instant next_deadline() const;
  void expire();

  struct Counters {
    std::uint64_t dialled = 0;      ///< SYNs for which the host began to connect
    std::uint64_t opened = 0;       ///< that became a relay
    std::uint64_t refused = 0;      ///< answered by RST: as the host was, or because it ended for a reason of ours
    std::uint64_t unreachable = 0;  ///< answered by ICMP
    std::uint64_t timed_out = 0;
    std::uint64_t given_up = 0;     ///< by the guest
    std::uint64_t retransmits = 0;  ///< copies of SYNs that were swallowed
    std::uint64_t challenged = 0;   ///< SYNs that were dropped, and an open relay with their addresses challenged
    std::uint64_t superseded = 0;   ///< relays whose addresses a new SYN has, and whose guest's end is gone
    std::uint64_t broken = 0;       ///< stand-ins that did not get through
    // SYNs for the general path (if the kernel path is required: refused), by the reason
    std::uint64_t not_ready = 0, untrusted = 0, repeated = 0, options = 0, link_local = 0, no_descriptor = 0,
                  no_stand_in = 0;
  };
  const Counters& counters() const { return counters_; }
  std::size_t under_way() const { return dials_.size(); }

  void flow_dialled(Relay& relay) override;
  void flow_open(Relay& relay) override;
  void flow_failed(Relay& relay, Relay::Side side, int error) override;

 private:
  struct Dial {
    std::vector<std::uint8_t> syn;  ///< the frame
    Instant last_syn, due;
    bool opening = false;                   ///< the host is connected, the stand-in is on its way
    bool late = false;                      ///< for longer than it should be
    std::vector<std::uint8_t> answer = {};  ///< the guest's to the stand-in's SYN, if that came by the TAP: the frame
  };
  using Dials = std::unordered_map<Relay*, Dial>;

  std::uint64_t* general_reason(const Packet& syn);
  bool to_general(const Packet& syn, std::uint64_t& counter);
  bool dial(const Packet& syn, Reach reach);
  Result<UniqueFd> host_socket(const Endpoint& to) const;
  void answered(Relay& relay, Result<UniqueFd> stand_in);
  void tell_guest(const Packet& syn, int error);
  void tell_guest(std::vector<std::uint8_t> syn, int error);
  void set_due(Relay* relay, Dial& dial, Instant due);
  Dial forget(Dials::iterator at);
  void expire(Dials::iterator at);
  void to_general_late(Dials::iterator at);
  void end_late(Dials::iterator at);
  void remember_general(const Relay& relay);

  OutboundTcpSetup setup_;
  PerFamily<std::optional<Endpoint>> proofs_;
  Dials dials_;
  std::set<std::pair<Instant, Relay*>> deadlines_;
  GeneralSyns general_;
  SteeringTrust trust_;
  Counters counters_;
};

}  // namespace nh
