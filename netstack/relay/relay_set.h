// SPDX-License-Identifier: BSD-3-Clause
// RelaySet: all flows on the kernel path, whoever began them.
//
// Theory of operation. A flow begins with one socket (begin), gets its second one, whose connect(2) is under way (Relay::join), or
// none (Relay::fail). From then on it needs no call (relay.h): the turns of a loop move its bytes (relay_loop.h). With threads
// (start_threads) the mover of a flow that has moved limits::relay_large bytes and is bulk is offloaded to one of them: short and
// interactive flows stay in the main thread, pay nothing for the hand-over, and do not wait for bulk transfers. Tables, limits,
// events and logging stay in the main thread too; a flow that ends in another thread is closed and accounted for here.
//
// Memory: at most 0.5 KiB for an idle relay, epoll bookkeeping and tables included, without the kernel's; it holds no buffer and
// no pipe.
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
  /// Bytes that a flow has moved one way when it is offloaded to a thread, if it is bulk then; 0: every flow as it opens.
  std::uint64_t offload_threshold = limits::relay_large;
};

class RelaySet final : private Relay::Owner, private Mover::Owner, private RelayThreads::Owner {
 public:
  explicit RelaySet(const RelaySetup& setup);
  /// Closes all sockets by close(2). Waits for the threads to end.
  ~RelaySet() override;
  RelaySet(const RelaySet&) = delete;
  RelaySet& operator=(const RelaySet&) = delete;

  /// Once, when the process is confined except for its seccomp filter, which must come after it (relay_thread.h). An error tells
  /// why fewer threads were started than were asked for; those that were work.
  Result<> start_threads();
  /// The number of flows of each thread.
  std::vector<std::size_t> thread_flows() const;

  /// How many relays `fds` descriptors are enough for, with those of pipes set aside.
  static std::size_t allowed(std::size_t fds);

  /// A place and descriptors for one more flow; false: there are none. begin() uses it up, or unreserve().
  bool reserve();
  void unreserve();
  /// Whether reserve() fails because of the number of flows, not for want of descriptors.
  bool is_full() const { return all_.size() + reserved_ >= setup_.max_flows; }

  /// A flow begins, in a place that was reserved, with its `side`'s socket: connected, or its connect(2) begun. nullptr: out of
  /// epoll watches or memory; the socket is reset. The relay is valid until its waiter is told of its end, or Relay::join() or
  /// fail() is called. `waiter` may be null for a flow that is joined at once.
  Relay* begin(const Relay::Start& start, Relay::Side side, UniqueFd socket, Relay::Waiter* waiter,
               Relay::First first = Relay::First::connected);

  /// The relay whose stand-in, there or to come, a TCP segment of the guest from `guest` to `guest_peer` is for; nullptr: none.
  Relay* find(const Endpoint& guest, const Endpoint& guest_peer) const;
  /// The guest has sent a SYN with this relay's addresses that is no copy of the relay's own. False: no socket of the guest's is
  /// connected to the stand-in, or there is no stand-in yet: supersede() it. True: one is, as far as the stand-in knows, and is
  /// asked by a keep-alive probe, as RFC 5961 4.2 has it: an ACK with the connection's true numbers. A socket that is still
  /// connected acknowledges it, and the SYN was stray or forged. Where the guest's kernel has forgotten the connection, it answers
  /// by a reset, which ends the relay, and the socket that now has the port sends its first SYN again within 10 ms (Linux
  /// tcp_rcv_synsent_state_process), a repeated one when it is due. The probe leaves at the next tick, or when the guest has been
  /// silent for a second. A port of a forgotten connection connected after 22 ms, after 2.1 s if less than a second lay between
  /// (measured on a busy machine; 1 to 5 ms after a reset).
  bool challenge(Relay& relay);
  /// For so long a challenged stand-in probes a peer that has been silent for a second, the least that TCP_KEEPIDLE takes: that
  /// second, and one to spare. Further SYNs with its addresses are ignored meanwhile.
  static constexpr std::chrono::seconds challenge_time{2};
  /// The addresses are free for a new connection of the guest. A relay that is open, its stand-in reset, delivers what the guest
  /// had sent before and ends by itself; any other is reset now.
  void supersede(Relay& relay);

  /// Ordered by id; the arguments are those of FlowQuery. O(flows).
  std::vector<FlowRecord> list(std::uint64_t after, std::size_t limit, std::optional<std::uint64_t> rule) const;
  /// Resets both sides; false: there is no such flow. An offloaded one ends when its thread has given it back.
  bool kill(std::uint64_t id);

  /// When run() has something to do; Instant::max(): never.
  Instant next_deadline() const;
  void run();

  struct Counters {
    FlowCounters all;
    std::array<std::uint64_t, flow_ends> ends{};  ///< by FlowEnd
    std::uint64_t turns = 0;                      ///< of run()
    std::uint64_t visits = 0;                     ///< moves of one direction
  };
  Counters counters() const;
  /// Of a rule; zeros for an unknown one.
  FlowCounters of(std::uint64_t rule) const;
  /// The rule has been removed: its counters are dropped with its last flow.
  void forget_rule(std::uint64_t rule);

  std::size_t size() const { return all_.size(); }
  /// Of all flows: pipes, and copied bytes that wait in memory.
  std::size_t pipes() const;
  std::size_t held() const;

 private:
  struct Rule {
    FlowCounters flows;  ///< without its bytes
    RelayBytes bytes;
    bool removed = false;  ///< it is kept for the flows that are left
  };
  struct Flow final : Relay {
    Flow(const Context& context, std::uint64_t id, const Start& start, Instant opened, Rule& rule_of_it)
        : Relay(context, id, start, opened), rule(rule_of_it) {}
    Rule& rule;
    std::optional<std::uint8_t> thread;    // that has the mover
    std::optional<FlowEnd> pending_close;  // it ends by this when the thread has given the mover back
    Instant challenged_until{};            // Instant{}: it is not
    std::list<Flow>::iterator place{};
  };
  static Flow& flow_of(Relay& relay) { return static_cast<Flow&>(relay); }

  struct Pair {
    const Endpoint& guest;
    const Endpoint& guest_peer;
    friend void hash_append(SipHash13& hash, const Pair& pair) {
      hash_append(hash, pair.guest);
      hash_append(hash, pair.guest_peer);
    }
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

  void end(Flow& flow, FlowEnd why);
  void close(Flow& flow, FlowEnd end);
  void free_addresses(Flow& flow);
  void end_challenge(Flow& flow);

  void relay_open(Relay& relay) override;
  void relay_ended(Relay& relay, FlowEnd end) override { close(flow_of(relay), end); }
  void mover_ended(Mover& mover, FlowEnd end) override { close(flow_of(mover.relay()), end); }
  void mover_to_offload(Mover& mover) override;
  void mover_returned(Mover& mover, std::optional<FlowEnd> end) override;

  RelaySetup setup_;
  RelayLoop loop_;
  RelayThreads threads_;
  FlowCounters flows_;  // of all, without their bytes
  std::array<std::uint64_t, flow_ends> ends_{};
  std::list<Flow> all_;  // by id
  std::unordered_map<std::uint64_t, Rule> rules_;
  std::unordered_set<Relay*, PairHash, PairEqual> by_addresses_;
  std::set<std::pair<Instant, Flow*>> challenged_;  // and until when
  std::size_t reserved_ = 0;
};

}  // namespace nh
