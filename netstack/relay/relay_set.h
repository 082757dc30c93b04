// SPDX-License-Identifier: BSD-3-Clause
// RelaySet: all flows on the kernel path, whoever began them.
//
// Theory of operation. A flow begins with one socket (begin), gets its second one, whose connect(2) is under way (join), or none
// (fail). From then on it lives by itself (relay.h), its bytes moved by the turns of a loop (relay_loop.h).
// With threads (start_threads) the mover of a flow that has become large, limits::relay_large, is handed to one of them: what
// is short, or rare, never pays for that, and waits for no bulk transfer. All else stays in the thread of the set: tables, limits,
// events, logging; a flow that ends elsewhere is closed and accounted for here.
//
// Memory: 0.5 KiB of ours for an idle relay at most, epoll bookkeeping and tables included; it holds no buffer and no pipe.
//
// Ownership: owns all relays with their sockets; everything in RelaySetup must outlive it. Two descriptors of the budget belong
// to each flow. All calls are of one thread; none sleeps or blocks.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <list>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "netstack/relay/fd_budget.h"
#include "netstack/relay/flow.h"
#include "netstack/relay/relay.h"
#include "netstack/relay/relay_threads.h"
#include "src/base/limits.h"
#include "src/loop/epoll_set.h"

namespace nh {

struct RelaySetup {
  EpollSet* epoll;
  const Clock* clock;
  FdBudget* fds;
  FlowIds* ids;
  FlowObserver* observer = nullptr;  ///< null: no record is made
  std::size_t max_flows = limits::relay_flows;
  unsigned threads = 0;  ///< that start_threads() starts
  /// Bytes that a flow has moved one way when a thread gets it, if it is bulk then; 0: every flow as it opens.
  std::uint64_t large = limits::relay_large;
};

class RelaySet final : private RelayLoop::Owner, private RelayThreads::Owner {
 public:
  explicit RelaySet(const RelaySetup& setup);
  /// Closes all without a reset of ours. Waits for the threads' end.
  ~RelaySet() override;
  RelaySet(const RelaySet&) = delete;
  RelaySet& operator=(const RelaySet&) = delete;

  /// Once, when the process has given up what it can but for the filter of system calls. Where fewer can be started than were
  /// asked for, the error tells why, and those that can are at work.
  Result<> start_threads();
  /// By thread: the flows that are with it.
  std::vector<std::size_t> thread_flows() const;

  /// How many relays so many descriptors are enough for, pipes left aside.
  static std::size_t allowed(std::size_t fds);

  /// A place and descriptors for one more flow; false: there are none. begin() uses it up, or unreserve().
  bool reserve();
  void unreserve();
  /// Whether it is the number of flows, not descriptors, that reserve() found wanting.
  bool is_full() const { return all_.size() + reserved_ >= setup_.max_flows; }

  /// A flow begins, with its `side`'s socket: connected, or its connect(2) begun. nullptr: out of epoll watches or memory; the
  /// socket is reset. The relay is valid until its waiter is told of its end, or join() or fail() is called.
  /// `waiter` may be null for a flow that is joined at once.
  enum class First : std::uint8_t { connected, dialling };
  Relay* begin(const Relay::Start& start, Relay::Side side, UniqueFd socket, Relay::Waiter* waiter,
               First first = First::connected);
  /// Told to the waiter if the flow ends before join() or fail().
  void set_ticket(Relay& relay, std::uint64_t ticket) { relay.ticket_ = ticket; }
  /// The second socket, non-blocking, its connect(2) begun.
  void join(Relay& relay, UniqueFd socket);
  /// There will be no second socket; the first is reset.
  void fail(Relay& relay, FlowEnd why);

  /// Whose stand-in, there or to come, a TCP segment of the guest from `guest` to `guest_peer` is for; nullptr: nobody's.
  Relay* find(const Endpoint& guest, const Endpoint& guest_peer) const;
  /// The guest has sent a SYN with this relay's addresses that is no copy of the relay's own. False: no socket of the guest's is
  /// connected to the stand-in, or there is no stand-in yet: supersede() it. True: one is, as far as the stand-in knows, and is
  /// asked by a keep-alive probe, as RFC 5961 4.2 has it: an ACK with the connection's true numbers. A socket that is still
  /// connected acknowledges it, and the SYN was stray or forged. Where the connection is forgotten, or the port in use again, the
  /// guest's kernel answers by a reset, which ends the relay, and a socket that is connecting sends its SYN again within 10 ms
  /// (Linux tcp_rcv_synsent_state_process). The probe leaves at the next tick, or when the guest has been silent for a second.
  bool challenge(Relay& relay);
  /// For so long a challenged stand-in probes a peer that has been silent for a second, the least that TCP_KEEPIDLE takes: that
  /// second, and one to spare. Further SYNs with its addresses are ignored meanwhile.
  static constexpr std::chrono::seconds challenge_time{2};
  /// The addresses are free for a new connection of the guest. A relay that is open, its stand-in reset, delivers what the guest
  /// had sent before and ends by itself; any other is reset now.
  void supersede(Relay& relay);

  /// Ordered by id; the arguments are those of Rules::FlowQuery. O(flows).
  std::vector<FlowRecord> list(std::uint64_t after, std::size_t limit, std::optional<std::uint64_t> rule) const;
  /// Resets both sides; false: there is no such flow. One that is with a thread ends a moment later.
  bool kill(std::uint64_t id);

  /// When run() has something to do; Instant::max(): never.
  Instant next_deadline() const;
  void run();

  struct Counters {
    RelayCounters all;
    std::array<std::uint64_t, 9> ends{};  ///< by FlowEnd
    std::uint64_t turns = 0;              ///< of run()
    std::uint64_t visits = 0;             ///< moves of one direction
  };
  Counters counters() const;
  /// Of a rule; zeros for an unknown one.
  RelayCounters of(std::uint64_t rule) const;
  /// The rule is no more: its counters go with its last flow.
  void forget_rule(std::uint64_t rule);

  std::size_t size() const { return all_.size(); }
  /// Pipes that there are, and copied bytes that wait, of all flows.
  std::size_t pipes() const;
  std::size_t held() const;

 private:
  friend class Relay;
  struct Pair {
    const Endpoint& guest;
    const Endpoint& guest_peer;
  };
  struct PairHash {
    using is_transparent = void;
    std::size_t operator()(const Pair& pair) const noexcept;
    std::size_t operator()(const Relay* relay) const noexcept;
  };
  struct PairEqual {
    using is_transparent = void;
    bool operator()(const Relay* a, const Relay* b) const noexcept;
    bool operator()(const Pair& a, const Relay* b) const noexcept;
    bool operator()(const Relay* a, const Pair& b) const noexcept;
  };

  // For Relay.
  void own(Relay& relay);
  void opened(Relay& relay);
  void ended(Relay& relay, FlowEnd end);

  void ask_back(Relay& relay, FlowEnd end);
  void disown(Relay& relay);
  void end_challenge(Relay& relay);

  void mover_ended(Mover& mover, FlowEnd end) override { ended(mover.relay(), end); }
  void mover_is_large(Mover& mover) override;
  void mover_returned(Mover& mover, std::optional<FlowEnd> end) override;

  RelaySetup setup_;
  RelayLoop loop_;
  RelayThreads threads_;
  RelayCounters flows_;  // of all, without their bytes
  std::array<std::uint64_t, 9> ends_{};
  std::list<Relay> all_;  // by id
  std::unordered_map<std::uint64_t, RelayRule> rules_;
  std::unordered_set<Relay*, PairHash, PairEqual> owned_;
  std::set<std::pair<Instant, Relay*>> challenged_;  // and until when
  std::size_t reserved_ = 0;
};

/// What a connect(2) that failed with this errno means for the flow.
FlowEnd flow_end_of(int error);

}  // namespace nh
