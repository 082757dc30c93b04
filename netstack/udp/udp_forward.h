// SPDX-License-Identifier: BSD-3-Clause
// UdpForward: UDP port forwards, past libslirp.
//
// Theory of operation. A listener is one host socket for any number of clients. A client's datagram becomes a frame to the
// guest whose source is the client's real address; the pair (guest endpoint, the address the client appears with) is a flow,
// and a UDP packet of the guest that goes the other way is its answer. The answer leaves from the address that the client had
// used (IP_PKTINFO), so that wildcard sockets work. A client whose address would mean something else inside the guest
// (loopback, link-local, an address of the virtual network or of the guest itself), or whose family is not the guest's,
// appears with the gateway's address. It keeps its port unless another flow has the pair already. These frames never pass
// Reachability: a client on the host's loopback is answered also when the guest may not reach it.
//
// No frame can go to a service on the guest's loopback: there each flow has a socket in the guest's namespace (udp_stand_in.h),
// in the same table, with the same addresses, idle times and counters.
//
// Batches. Datagrams are taken, and answers sent, many in one system call; neighbours of one flow and size travel as one frame
// (datagram_run.h) or one message (udp_send_queue.h). Answers wait for flush(), which the bridge calls at the end of its batch.
//
// Errors. An ICMP error of the guest ends the flow. The client is not told: the kernel sends "port unreachable" for a port that
// no socket has, and this one is shared by all clients; to write ICMP by hand takes CAP_NET_RAW. An ICMP error that comes back
// for an answer is told to the guest (udp_errors.h); the flow stays, because the client may still send.
//
// Ownership: owns its sockets and flows; everything in UdpForwardSetup must outlive it. Single-threaded; neither sleeps nor
// blocks. A socket's errors, a full table and hostile datagrams are counted, never fatal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "netstack/frame/frame_sink.h"
#include "netstack/frame/neighbours.h"
#include "netstack/frame/packet.h"
#include "netstack/plan/address_plan.h"
#include "netstack/relay/carrier.h"
#include "netstack/relay/stand_ins.h"
#include "src/base/clock.h"
#include "src/base/limits.h"
#include "src/loop/epoll_set.h"

namespace nh {

struct UdpForwardSetup {
  EpollSet* epoll;
  const Clock* clock;
  FrameSink* sink;
  Neighbours* neighbours;
  AddressPlan plan;
  std::size_t max_flows = limits::udp_forward_flows;
  std::size_t max_stand_ins = limits::udp_stand_ins;
  StandIns* stand_ins = nullptr;               ///< null: services on the guest's loopback cannot be reached
  FlowIds* ids = nullptr;                      ///< null: ids of its own
  FlowObserver* observer = nullptr;            ///< null: nobody listens
  std::function<void()> on_destinations = {};  ///< destinations() has changed, perhaps
};

class UdpForward final : public Carrier {
 public:
  explicit UdpForward(const UdpForwardSetup& setup);
  ~UdpForward() override;
  UdpForward(const UdpForward&) = delete;
  UdpForward& operator=(const UdpForward&) = delete;

  /// A client is led to the destination's address of its own family, which on [::] is IPv4 for some. Errors: exhausted: no epoll watch
  /// is left; invalid: no UDP socket, or an address of a family that the guest does not have; unsupported: one of its loopback
  /// without stand-ins.
  Result<Endpoint> add(std::uint64_t number, std::uint64_t rule, ListenOn on, const Destination& destination) override;
  Result<> change(std::uint64_t number, std::uint64_t rule, const Destination& destination) override;
  void remove(std::uint64_t number) override;

  /// Addresses of destinations that name one, neither the guest itself nor its loopback; each once.
  std::vector<Address> destinations() const;

  /// A UDP packet of the guest: true if it answers a forward's flow (it goes to the client with the next flush(), or its
  /// loss is counted).
  bool take(const Packet& packet);
  /// Sends the answers that take() has gathered. At the end of each batch of frames.
  void flush();
  /// An ICMP or ICMPv6 error of the guest, its quotation read (read_quote): true if that is a
  /// datagram of ours. If the error says unreachable, the flow is forgotten.
  bool take_icmp_error(const Packet& packet);
  /// Addresses that are local to the guest: a client with one of them appears with the gateway's,
  /// flows to come only.
  void set_guest_addresses(const std::vector<Address>& addresses);

  /// When expire() has something to do; Instant::max() if never.
  Instant next_deadline() const;
  /// Forgets the flows that have been idle too long (limits::udp_idle_*).
  void expire();

  FlowCounters of_rule(std::uint64_t rule) const override;
  void forget_rule(std::uint64_t rule) override;
  std::vector<FlowRecord> flows(const FlowQuery& query) const override;
  bool kill(std::uint64_t flow) override;

  /// flows_failed: those that were refused and those without a stand-in.
  struct Counters : FlowCounters {
    std::uint64_t datagrams_to_guest = 0, datagrams_to_host = 0;
    std::uint64_t stand_ins = 0;  ///< now; flows too
    std::uint64_t flows_expired = 0;
    std::uint64_t flows_killed = 0;        ///< by kill(), or with their listener
    std::uint64_t refused = 0;             ///< flows that an ICMP error of the guest ended
    std::uint64_t without_stand_in = 0;    ///< flows that got none
    std::uint64_t dropped_table_full = 0;  ///< datagrams of clients that found no place
    std::uint64_t dropped_waiting = 0;     ///< datagrams that there was no place for while their stand-in was opened
    std::uint64_t dropped_receive = 0;  ///< datagrams that cannot be carried on: source port 0, larger than limits::datagram
    std::uint64_t dropped_send = 0;     ///< datagrams that the host's kernel did not take
    std::uint64_t errors_told = 0;      ///< ICMP errors to the guest about its answers
    std::uint64_t errors_suppressed = 0;  ///< more than limits::icmp_errors_per_second
  };
  /// Of all listeners since the start, removed ones too.
  Counters counters() const;

 private:
  struct Listener;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nh
