// SPDX-License-Identifier: BSD-3-Clause
// Mover: what carries the bytes of one open flow: two connected sockets, and a pump each way.
//
// Theory of operation. Phases: idle (the flow is not open yet), open, dying. It remembers what is readable and writable, and
// moves bytes until one of the two is not, at most limits::relay_visit a direction. What it does not get done waits in its loop's
// ready list (relay_loop.h).
//
// It behaves as the direct connection would. FIN: shutdown(2) of the other socket once all before it is handed over; both FINs:
// close. Reset, by whichever error (ECONNRESET; EPIPE, which is a reset after FIN, tcp_input.c tcp_reset; ETIMEDOUT: keep-alive
// or retransmission gave up): what the dead side had sent before is still handed over, as the receiver of a direct connection
// could still read it; once nothing of it is unsent the other socket is reset. While that one's window is shut for
// limits::relay_last_bytes, what does not fit into it is lost, as it would be in the sender's queue. Bytes towards the dead
// side are dropped. Zero window: the sink does not take, nothing is read, the source's own window shuts.
//
// Ownership: a part of its relay; owns the sockets. It belongs to one loop at a time, and is that loop's thread's: leave() and
// enter() with a message in between (mailbox.h) lead it from one to another. After a call that may end it or lead it away
// (on_ready, open, and what its loop calls) it is not touched again.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <optional>

#include "netstack/relay/flow.h"
#include "netstack/relay/pump.h"
#include "netstack/relay/tally.h"
#include "src/loop/epoll_set.h"

namespace nh {

class Mover;
class Relay;
class RelayLoop;
struct RelayBytes;

/// One that dies, and when to look whether its last bytes still move.
struct MoverLinger {
  Mover* mover;
  Instant check;
};

class Mover final : public EpollSet::Handler {
 public:
  enum Side : std::uint8_t { host = 0, guest = 1 };
  static constexpr Side other(Side side) { return side == host ? guest : host; }

  /// `host_is_unix`: so is the host's socket.
  Mover(Relay& relay, RelayLoop& loop, RelayBytes& rule, bool host_is_unix);
  ~Mover() override;
  Mover(const Mover&) = delete;
  Mover& operator=(const Mover&) = delete;

  Relay& relay() const { return relay_; }
  /// -1: none yet.
  int fd(Side side) const { return ends_[side].fd.get(); }
  Side side_of(int fd) const { return fd == ends_[host].fd.get() ? host : guest; }
  /// That the receiving socket has taken. For any thread.
  std::uint64_t bytes_from(Side side) const { return directions_[side].bytes.value(); }

  // ---- until the flow opens ----
  /// The socket of a side, watched edge-triggered and for everything; `handler` hears of it.
  Result<> watch(Side side, UniqueFd fd, EpollSet::Handler& handler);
  /// The side, if its event says that what waits there first is no urgent byte.
  static std::optional<Side> fresh(Side side, std::uint32_t events);
  /// Remembers what an event tells.
  void note(Side side, std::uint32_t events);
  /// Moves bytes from now on. `dead`: that side has been reset, and its error was taken already. `fresh`: as visit() has it.
  void open(std::optional<Side> dead, std::optional<Side> fresh);

  void on_ready(int fd, std::uint32_t events) override;

  /// Moves nothing any more, and holds nothing of its loop. The sockets stay; `closing`: not for long.
  void leave(bool closing);
  /// Open, it has left another loop, and goes on in this one. exhausted: out of epoll watches or memory; it is in none then.
  Result<> enter(RelayLoop& loop);
  bool is_in(const RelayLoop& loop) const { return loop_ == &loop; }
  /// Moves much: at least `bytes` so far, in one direction that is bulk now. 0: it need not be bulk. And it can leave without
  /// losing any.
  bool moves_much(std::uint64_t bytes) const;
  /// Both sockets are closed, by a reset.
  void reset_sockets();

 private:
  friend class RelayLoop;
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

  void side_failed(Side side);
  /// The other side gets what it has sent before.
  void dies(Side side);
  /// Moves what can be moved. `fresh`: as Pump::Source has it, of this side.
  void visit(std::optional<Side> fresh = std::nullopt);
  /// One direction; true: there may be more.
  bool carry(Side from, bool fresh = false);
  void carry_last_bytes();
  /// Whether the last bytes still make progress; false ends it.
  bool last_bytes_move();

  Relay& relay_;
  RelayLoop* loop_;  // null: it has left
  RelayBytes& rule_;
  std::array<End, 2> ends_;
  std::array<Direction, 2> directions_;  // by the side that they come from
  Phase phase_ = Phase::idle;
  bool host_is_unix_;
  Side dead_ = host;  // dying: by its reset
  FlowEnd why_ = FlowEnd::closed;
  bool lingers_ = false;        // in the loop's list of those
  std::int32_t ready_at_ = -1;  // place in the loop's ready list
  std::list<MoverLinger>::iterator lingering_{};
  std::uint64_t delivered_ = 0;  // at the last look, lingering
};

}  // namespace nh
