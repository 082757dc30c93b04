// SPDX-License-Identifier: BSD-3-Clause
// Relay: a flow on the kernel path: a host socket and a guest-side socket, joined.
//
// Theory of operation. Phases: dialling (the connect(2) of the first socket is under way: outbound connections), waiting (one
// socket is there, the other is asked for), connecting (the connect(2) of the second is under way), open: then its mover carries
// the bytes (mover.h). Each socket is registered with the epoll once, edge-triggered, for everything, so that a connection costs
// two epoll_ctl(2) in its life. A side that fails before the flow is open ends the flow. One exception: a server that the guest
// has dialled may close or reset as soon as it has accepted, and the guest must see that after its connect(2) has succeeded, not
// instead; it is handled when the flow is open. The mover of an offloaded flow is with another thread (relay_threads.h); the relay
// stays in the main thread.
//
// Ownership: Relay::Owner (RelaySet) owns the relay, the relay its mover with the sockets. A call that may end it may destroy it:
// it must not be touched afterwards.
#pragma once

#include <cstdint>
#include <optional>

#include "netstack/relay/flow.h"
#include "netstack/relay/mover.h"
#include "src/loop/epoll_set.h"

namespace nh {

class Relay : public EpollSet::Handler {
 public:
  using Side = Mover::Side;
  static constexpr Side host = Mover::host, guest = Mover::guest;

  /// Who gets the second socket of a flow. From within its calls only join() and fail() of this very flow may be called.
  class Waiter {
   public:
    virtual ~Waiter() = default;
    /// The first socket's connect(2) has succeeded: it waits for its second socket now.
    virtual void flow_dialled(Relay&) {}
    virtual void flow_open(Relay&) {}
    /// It ends before it is open, and not by fail(). A ticket() that is not 0 is to be cancelled. `error`: errno of the socket
    /// of `side` that is the reason; 0: neither socket's.
    virtual void flow_failed(Relay& relay, Side side, int error) = 0;
  };

  /// Who keeps the relays.
  class Owner {
   public:
    virtual ~Owner() = default;
    /// Both sockets are connected; no byte has been moved yet.
    virtual void relay_open(Relay& relay) = 0;
    /// The flow is over: the relay is to be destroyed, its sockets reset unless `end` is closed. The last call for it.
    virtual void relay_ended(Relay& relay, FlowEnd end) = 0;
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

  /// What the relay refers to; all of it must outlive the relay.
  struct Context {
    Owner* owner;
    RelayLoop* loop;
    Mover::Owner* mover_owner;
    RelayBytes* rule;
    Waiter* waiter;  ///< may be null for a flow that is joined at once
  };
  Relay(const Context& context, std::uint64_t id, const Start& start, Instant opened);
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  /// The first socket: connected, or its connect(2) begun. An error (out of epoll watches or memory) leaves the relay without it.
  enum class First : std::uint8_t { connected, dialling };
  Result<> begin(Side side, UniqueFd socket, First first);
  /// The second socket, non-blocking, its connect(2) begun.
  void join(UniqueFd socket);
  /// There will be no second socket. The waiter is not told.
  void fail(FlowEnd why) { owner_.relay_ended(*this, why); }
  /// Ends it, whatever its phase; its mover is in the main thread. The waiter is told if the flow is not open.
  void end(FlowEnd why);

  /// A number of the waiter's for the second socket that it asks for; 0: it asks for none.
  void set_ticket(std::uint64_t ticket) { ticket_ = ticket; }
  std::uint64_t ticket() const { return ticket_; }

  std::uint64_t id() const { return id_; }
  const Start& start() const { return start_; }
  bool is_open() const { return phase_ == Phase::open; }
  bool has_both() const { return phase_ >= Phase::connecting; }  ///< sockets
  Mover& mover() { return mover_; }
  FlowRecord record() const;

  void on_ready(int fd, std::uint32_t events) override;

 private:
  enum class Phase : std::uint8_t { dialling, waiting, connecting, open };

  void connected(std::optional<Side> fresh);
  void side_failed(Side side, int error);
  void end_unopened(Side side, int error, FlowEnd end);

  Owner& owner_;
  Waiter* waiter_;
  std::uint64_t ticket_ = 0;
  std::uint64_t id_;
  Start start_;
  Instant opened_;
  Mover mover_;
  Phase phase_ = Phase::waiting;
  bool host_is_dead_ = false;  // reset before the guest was connected; handled once the flow is open
  Side second_ = guest;        // whose socket comes second
};

}  // namespace nh
