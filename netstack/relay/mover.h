// SPDX-License-Identifier: BSD-3-Clause
// Mover: carries the bytes of one open flow: two connected sockets, and a pump for each direction.
//
// Theory of operation. Phases: idle (the flow is not open yet), open, dying (one side has been reset). It remembers which socket
// is readable and which writable, and moves bytes until one is not, at most limits::relay_visit a direction. With the rest it
// waits for its turn in its loop's ready list (relay_loop.h).
//
// It behaves as the direct connection would. FIN: shutdown(2) of the other socket once all before it is handed over; both FINs:
// close. Reset, by whichever error (ECONNRESET; EPIPE, which is a reset after FIN, tcp_input.c tcp_reset; ETIMEDOUT: keep-alive
// or retransmission gave up): what the dead side had sent before is still handed over, as the receiver of a direct connection
// could still read it; once nothing of it is unsent the other socket is reset. If nothing of it has been sent within
// limits::relay_last_bytes, because that socket's window is shut, the rest is lost, as it would be in the sender's queue. Bytes
// towards the dead side are dropped. Zero window: the sink does not take, nothing is read, the source's own window shuts.
//
// Ownership: a part of its relay; owns the sockets. It is in one loop at a time and belongs to that loop's thread. leave(), a
// message to the other thread (mailbox.h) and enter() take it from one loop to another. After a call that may end or offload it
// (on_ready, open, run_turn, progress_due) it must not be touched.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "netstack/relay/flow.h"
#include "netstack/relay/pump.h"
#include "netstack/relay/relay_loop.h"
#include "netstack/relay/tally.h"
#include "src/loop/epoll_set.h"

namespace nh {

class Relay;

class Mover final : public EpollSet::Handler, private RelayLoop::Member {
 public:
  enum Side : std::uint8_t { host = 0, guest = 1 };
  static constexpr Side other(Side side) { return side == host ? guest : host; }

  /// Whoever runs its loop.
  class Owner {
   public:
    virtual ~Owner() = default;
    /// The flow has ended. The last call for it, made from within whatever it was doing; may destroy it.
    virtual void mover_ended(Mover& mover, FlowEnd end) = 0;
    /// It has passed the loop's offload threshold (is_offloadable) and is to leave the loop.
    virtual void mover_to_offload(Mover&) {}
  };

  /// `relay` is only handed back to the owner. `host_is_unix`: the host's socket is a Unix socket.
  Mover(Relay& relay, RelayLoop& loop, Owner& owner, RelayBytes& rule, bool host_is_unix);
  ~Mover() override;
  Mover(const Mover&) = delete;
  Mover& operator=(const Mover&) = delete;

  Relay& relay() const { return relay_; }
  /// -1: none yet.
  int fd(Side side) const { return ends_[side].fd.get(); }
  Side side_of(int fd) const { return fd == ends_[host].fd.get() ? host : guest; }
  /// Bytes that the receiving socket has taken. For any thread.
  std::uint64_t bytes_from(Side side) const { return directions_[side].bytes.value(); }

  // ---- until the flow opens ----
  /// The socket of a side; its events, edge-triggered, go to `handler`.
  Result<> watch(Side side, UniqueFd fd, EpollSet::Handler& handler);
  /// The side, if its event says that the first byte that waits there is not urgent.
  static std::optional<Side> fresh(Side side, std::uint32_t events);
  /// Remembers what an event tells.
  void note(Side side, std::uint32_t events);
  /// Moves bytes from now on. `dead`: that side has been reset, and its error was taken already. `fresh`: see visit().
  void open(std::optional<Side> dead, std::optional<Side> fresh);

  void on_ready(int fd, std::uint32_t events) override;

  /// Leaves its loop and gives back the loop's pipes. The sockets stay open; `closing`: they are about to be closed.
  void leave(bool closing);
  /// An open flow that has left another loop goes on in this one. exhausted: out of epoll watches or memory; it is in no loop then.
  Result<> enter(RelayLoop& loop, Owner& owner);
  bool is_in(const RelayLoop& loop) const { return loop_ == &loop; }
  /// It has moved at least `threshold` bytes in one direction, which is bulk now (0: whether bulk or not), and holds no bytes of
  /// its own, which would be lost.
  bool is_offloadable(std::uint64_t threshold) const;
  /// Closes both sockets by a reset.
  void reset_sockets();

 private:
  enum class Phase : std::uint8_t { idle, open, dying };
  struct End {
    UniqueFd fd;
    bool readable = false, writable = true;
    bool to_the_end = false;  // Pump::Source
  };
  struct Direction {
    Pump pump;
    Tally<std::uint64_t> bytes;
    bool done = false;  // its FIN is handed on
  };

  void run_turn() override { visit(); }
  void progress_due() override;

  void side_failed(Side side);
  /// `side` has been reset; what it had sent before is still handed over.
  void start_dying(Side side);
  /// Moves what can be moved. `fresh`: as Pump::Source has it, of this side.
  void visit(std::optional<Side> fresh = std::nullopt);
  /// Moves bytes of one direction. True: there may be more.
  bool move_from(Side from, bool fresh = false);
  void move_last_bytes();
  /// Whether the other side's kernel has sent any of the last bytes since the last call.
  bool last_bytes_progress();
  bool offload();

  Relay& relay_;
  RelayLoop* loop_;  // null: in none
  Owner* owner_;
  RelayBytes& rule_;
  std::array<End, 2> ends_;
  std::array<Direction, 2> directions_;  // by the side that they come from
  Phase phase_ = Phase::idle;
  bool host_is_unix_;
  Side dead_ = host;                     // dying: by its reset
  FlowEnd dying_end_ = FlowEnd::closed;  // what the flow ends by
  std::uint64_t last_sent_ = 0;          // as last_bytes_progress() found it, plus 1; 0: never called
};

}  // namespace nh
