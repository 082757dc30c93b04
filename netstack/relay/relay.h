// SPDX-License-Identifier: BSD-3-Clause
// Relay: a flow on the kernel path: a host socket and a guest-side socket, joined.
//
// Theory of operation. Phases: dialling (the first socket's connect(2) is under way: outbound connections), waiting (one socket
// is there, the other is being got), connecting (its connect(2) is under way), open, dying. Each socket is registered with the epoll once, edge-triggered, for everything; a relay remembers what is
// readable and writable and moves bytes until one of the two is not, at most limits::relay_visit a direction, so that a
// connection costs two epoll_ctl(2) in its life. What a relay does not get done waits in the set's ready list (relay_set.h).
//
// It behaves as the direct connection would. FIN: shutdown(2) of the other socket once all before it is handed over; both FINs:
// close. Reset, by whichever error (ECONNRESET; EPIPE, which is a reset after FIN, tcp_input.c tcp_reset; ETIMEDOUT: keep-alive
// or retransmission gave up): what the dead side had sent before is still handed over, as the receiver of a direct connection
// could still read it; once nothing of it is unsent the other socket is reset. While that one's window is shut for
// limits::relay_last_bytes, what does not fit into it is lost, as it would be in the sender's queue. Bytes towards the dead
// side are dropped. Zero window: the sink does not take, nothing is read, the source's own window shuts. A side that ends
// before the flow is open takes the flow with it; but a server that the guest has dialled may end as soon as it has been
// connected to, and the guest must hear that after its connect, not instead: that waits until the flow is open.
//
// Ownership: the set owns the relay, the relay its sockets. After a call that may end it a relay is not touched again.
#pragma once

#include <array>
#include <list>
#include <optional>
#include <string>

#include "netstack/relay/flow.h"
#include "netstack/relay/pump.h"
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

class Relay;

/// A relay that dies, and when to look whether its last bytes still move.
struct RelayLinger {
  Relay* relay;
  Instant check;
};

class Relay final : public EpollSet::Handler {
 public:
  enum Side : std::uint8_t { host = 0, guest = 1 };

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
    Endpoint host_peer, appears, guest;  ///< as in FlowRecord
    bool stand_in = true;                ///< the guest's side is (or will be) a stand-in
    bool dialled_by_guest = false;       ///< by a SYN that we have seen; then `appears` never changes
    std::uint32_t guest_isn = 0;         ///< that SYN's sequence number
  };

  Relay(RelaySet& set, std::uint64_t id, const Start& start, RelayCounters& rule, Waiter* waiter, Instant opened);
  ~Relay() override;
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  std::uint64_t id() const { return id_; }
  const Start& start() const { return start_; }
  std::uint64_t ticket() const { return ticket_; }  ///< 0: it waits for nothing
  bool is_open() const { return phase_ >= Phase::open; }
  bool has_both() const { return phase_ >= Phase::connecting; }  ///< sockets
  FlowRecord record() const;

  void on_ready(int fd, std::uint32_t events) override;

 private:
  friend class RelaySet;
  enum class Phase : std::uint8_t { dialling, waiting, connecting, open, dying };
  struct End {
    UniqueFd fd;
    bool readable = false, writable = true;
    bool to_the_end = false;  // Pump::Source
  };
  struct Direction {
    Pump pump;
    std::uint64_t bytes = 0;
    bool done = false;  // its FIN is handed on
  };

  static Side other(Side side) { return side == host ? guest : host; }
  Result<> watch(Side side, UniqueFd fd);
  void connected();
  void side_failed(Side side, int error);
  void finish_unopened(Side side, int error, FlowEnd end);
  /// Moves what can be moved. `fresh`: as Pump::Source has it, of this side.
  void visit(std::optional<Side> fresh = std::nullopt);
  /// One direction; true: there may be more.
  bool carry(Side from, bool fresh = false);
  void carry_last_bytes();
  /// Whether the last bytes still make progress; false ends it.
  bool last_bytes_move();
  void finish(FlowEnd end);

  RelaySet& set_;
  RelayCounters& rule_;
  Waiter* waiter_;
  std::uint64_t ticket_ = 0;
  std::uint64_t id_;
  Start start_;
  Instant opened_;
  std::array<End, 2> ends_;
  std::array<Direction, 2> directions_;  // by the side that they come from
  Phase phase_ = Phase::waiting;
  Side awaited_ = guest;  // whose socket comes second
  Side dead_ = host;      // dying: by its reset
  FlowEnd why_ = FlowEnd::closed;
  std::int32_t ready_at_ = -1;   // place in the set's ready list
  bool lingers_ = false;  // in the set's list of those, there:
  std::list<RelayLinger>::iterator lingering_{};
  std::uint64_t delivered_ = 0;  // at the last look, lingering
  std::list<Relay>::iterator place_{};
};

}  // namespace nh
