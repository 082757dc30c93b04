// SPDX-License-Identifier: BSD-3-Clause
// Relay: a flow on the kernel path: a host socket and a guest-side socket, joined.
//
// Theory of operation. Phases: dialling (the first socket's connect(2) is under way: outbound connections), waiting (one socket
// is there, the other is being got), connecting (its connect(2) is under way), open: then its mover carries the bytes (mover.h).
// Each socket is registered with the epoll once, edge-triggered, for everything, so that a connection costs two epoll_ctl(2) in
// its life. A side that ends before the flow is open takes the flow with it; but a server that the guest has dialled may end as
// soon as it has been connected to, and the guest must hear that after its connect, not instead: that waits until the flow is
// open. The mover of a flow that has become large may be with another thread (relay_threads.h); the relay stays.
//
// Ownership: the set owns the relay, the relay its mover with the sockets. After a call that may end it a relay is not touched
// again.
#pragma once

#include <cstdint>
#include <list>
#include <optional>

#include "netstack/relay/flow.h"
#include "netstack/relay/mover.h"
#include "netstack/relay/relay_loop.h"
#include "src/loop/epoll_set.h"

namespace nh {

class RelaySet;

/// Of one rule, or of all. Bytes are those that the receiving socket has taken.
struct RelayCounters {
  std::uint64_t flows = 0;         ///< now, connecting ones too
  std::uint64_t flows_opened = 0;  ///< that came to be open
  std::uint64_t flows_failed = 0;  ///< that did not
  std::uint64_t bytes_to_guest = 0, bytes_to_host = 0;
};

/// What is counted for a rule.
struct RelayRule {
  RelayCounters flows;  ///< without its bytes
  RelayBytes bytes;
  bool gone = false;  ///< it is kept for the flows that are left
};

class Relay final : public EpollSet::Handler {
 public:
  using Side = Mover::Side;
  static constexpr Side host = Mover::host, guest = Mover::guest;

  /// Who gets the second socket of a flow. No call but join() and fail() of this very flow is allowed from within.
  class Waiter {
   public:
    virtual ~Waiter() = default;
    /// It was dialling, and is connected: it waits for its second socket now.
    virtual void flow_dialled(Relay&) {}
    virtual void flow_open(Relay&) {}
    /// It ends before it is open, and not by fail(). A ticket() that is not 0 is to be cancelled. `error`: errno of the socket
    /// of `side`, which is why; 0: neither's.
    virtual void flow_failed(Relay& relay, Side side, int error) = 0;
  };

  /// What is known of a flow when its first socket is there.
  struct Start {
    std::uint64_t rule = 0;
    FlowDirection direction = FlowDirection::in;
    Endpoint host_peer, guest_peer, guest;  ///< as in FlowRecord
    bool stand_in = true;                   ///< the guest's side is (or will be) a stand-in
    bool dialled_by_guest = false;          ///< by a SYN that we have seen; then `guest_peer` never changes
    std::uint32_t guest_isn = 0;            ///< that SYN's sequence number
  };

  Relay(RelaySet& set, std::uint64_t id, const Start& start, RelayRule& rule, Waiter* waiter, Instant opened);
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  std::uint64_t id() const { return id_; }
  const Start& start() const { return start_; }
  std::uint64_t ticket() const { return ticket_; }  ///< 0: it waits for nothing
  bool is_open() const { return phase_ == Phase::open; }
  bool has_both() const { return phase_ >= Phase::connecting; }  ///< sockets
  FlowRecord record() const;

  void on_ready(int fd, std::uint32_t events) override;

 private:
  friend class RelaySet;
  enum class Phase : std::uint8_t { dialling, waiting, connecting, open };

  void connected(std::optional<Side> fresh);
  void side_failed(Side side, int error);
  void finish_unopened(Side side, int error, FlowEnd end);
  void finish(FlowEnd end);

  RelaySet& set_;
  RelayRule& rule_;
  Waiter* waiter_;
  std::uint64_t ticket_ = 0;
  std::uint64_t id_;
  Start start_;
  Instant opened_;
  Mover mover_;
  Phase phase_ = Phase::waiting;
  bool host_is_dead_ = false;           // reset before the guest was connected, which is to be told after that
  Side awaited_ = guest;                // whose socket comes second
  std::optional<std::uint8_t> thread_;  // that has the mover
  std::optional<FlowEnd> asked_;        // its mover is to come back from there, for this end
  Instant challenged_until_{};          // Instant{}: it is not
  std::list<Relay>::iterator place_{};
};

}  // namespace nh
