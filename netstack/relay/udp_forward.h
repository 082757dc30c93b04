// SPDX-License-Identifier: BSD-3-Clause
// UdpForward: UDP port forwards on the frame path, past libslirp.
//
// Theory of operation. A rule has one host socket for any number of clients. A client's datagram
// becomes a frame to the guest whose source is the client's real address; the pair (guest endpoint,
// the address the client appears with) is a flow, and a UDP packet of the guest that goes the other
// way is its answer. The answer leaves from the address that the client had used (IP_PKTINFO), so
// that wildcard sockets work. A client whose address would mean something else inside the guest
// (loopback, link-local, an address of the virtual network or of the guest itself), or whose family
// is not the guest's, appears with the gateway's address. It keeps its port unless another flow has
// the pair already. These frames never pass Reachability: a client on the host's loopback is
// answered also when the guest may not reach it.
//
// Ownership: owns its sockets and flows; everything in UdpForwardSetup must outlive it.
// Single-threaded; neither sleeps nor blocks. A socket's errors, a full table and hostile datagrams
// are counted, never fatal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "netstack/frame/frame_sink.h"
#include "netstack/frame/neighbours.h"
#include "netstack/frame/packet.h"
#include "netstack/policy/address_plan.h"
#include "netstack/relay/forward_spec.h"
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
};

class UdpForward {
 public:
  explicit UdpForward(const UdpForwardSetup& setup);
  ~UdpForward();
  UdpForward(const UdpForward&) = delete;
  UdpForward& operator=(const UdpForward&) = delete;

  /// Binds now; gives the bound endpoint. `rule` is the caller's number, not in use. Where the spec
  /// has no guest address it is the plan's of the client's family, or the plan's IPv4 address if
  /// that family is off. [::] takes IPv4 too. Errors: those of bind_error; exhausted: no fd left;
  /// invalid: guest_address of a family that the guest does not have.
  Result<Endpoint> add(std::uint64_t rule, const ForwardSpec& spec);
  /// Ends a rule and its flows; an unknown rule is ignored.
  void remove(std::uint64_t rule);

  /// A UDP packet of the guest: true if it answers a forward's flow (sent to the client, or its
  /// loss counted).
  bool take(const Packet& packet);
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

  struct Counters {
    std::uint64_t datagrams_to_guest = 0, bytes_to_guest = 0;
    std::uint64_t datagrams_to_clients = 0, bytes_to_clients = 0;
    std::uint64_t flows = 0;  ///< now
    std::uint64_t flows_opened = 0, flows_expired = 0;
    std::uint64_t refused = 0;             ///< flows that an ICMP error of the guest ended
    std::uint64_t dropped_table_full = 0;  ///< datagrams of clients that found no place
    std::uint64_t dropped_receive =
        0;  ///< datagrams that cannot be carried on: source port 0, larger than limits::datagram
    std::uint64_t dropped_send = 0;  ///< answers that the host's kernel did not take
  };
  /// Of all rules since the start, removed ones too.
  Counters counters() const;
  /// Of one rule; zeros for an unknown one.
  Counters of(std::uint64_t rule) const;

 private:
  struct Rule;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nh
