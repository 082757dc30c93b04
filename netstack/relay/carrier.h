// SPDX-License-Identifier: BSD-3-Clause
// Carrier: what carries the clients of forwards. TcpForward, UdpForward, UdpReverse and SlirpForward implement it; src/forward
// decides which of them has which listener.
//
// A listener has a number, by which its carrier knows it, and belongs to a rule, which may have thousands. Both are the caller's; a
// number is in use once. An unknown listener is ignored.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "netstack/relay/destination.h"
#include "netstack/relay/flow.h"
#include "netstack/relay/listener.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

/// A socket that its carrier opens by itself. dual, at [::]: clients of both families.
struct ListenAt {
  Endpoint endpoint;
  Wildcard wildcard = Wildcard::dual;
};

/// What a listener takes its clients from: a socket that is open, bound, non-blocking and, unless it is UDP, listening; or the place
/// for one. Each carrier takes one of the two: libslirp a place, all others a socket.
using ListenOn = std::variant<UniqueFd, ListenAt>;

class Carrier {
 public:
  virtual ~Carrier() = default;

  /// Takes clients from now on; gives where. Errors: exhausted: no descriptor or epoll watch is left; invalid, unsupported: the
  /// destination cannot be reached, `field` says by which member. After an error there is no listener, and a socket is closed.
  virtual Result<Endpoint> add(std::uint64_t number, std::uint64_t rule, ListenOn on, const Destination& destination) = 0;
  /// The listener belongs to this rule from now on, and leads there. Its clients stay where they are. Errors: as those of add()
  /// about the destination; unsupported: only a new listener can lead there. Then nothing has changed.
  virtual Result<> change(std::uint64_t number, std::uint64_t rule, const Destination& destination) = 0;
  /// Closes the listener. Established TCP flows live on, UDP flows end with it.
  virtual void remove(std::uint64_t number) = 0;
  /// No clients are taken at present, of any listener.
  virtual bool paused() const { return false; }

  /// What the flows of a rule came to, those of listeners that are gone too; zeros for an unknown rule, and where they are not counted
  /// (libslirp).
  virtual FlowCounters of_rule(std::uint64_t rule) const = 0;
  /// The rule is no more: its counters are not asked for again.
  virtual void forget_rule(std::uint64_t rule) = 0;
  /// Ordered by id. O(flows). libslirp tells of none.
  virtual std::vector<FlowRecord> flows(const FlowQuery& query) const = 0;
  /// Ends a flow; false: it is none of this carrier's. O(flows).
  virtual bool kill(std::uint64_t flow) = 0;
};

}  // namespace nh
