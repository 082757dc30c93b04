// SPDX-License-Identifier: BSD-3-Clause
// AgentStandIns: the helper's side of stand-ins (netstack/relay/stand_ins.h).
//
// Theory of operation. IP_TRANSPARENT and SO_MARK need the agent, and stay with a socket. So the agent makes blank stand-ins, a
// batch a message, and a stock of them is kept here, filled when the first is wanted; bind and connect are the helper's own, and
// no connection wakes the agent. How a stand-in gets the port that it shall have:
//   any port, and every port if the kernel cannot do better    bind to port 0, connect chooses
//   a port of the guest's ip_local_port_range                  IP_LOCAL_PORT_RANGE p..p (Linux 6.3), bind to port 0: connect
//       takes that port and no other. An explicit bind would close the port to connects of the guest's own programs: some
//       thousand clients, and the guest could not dial any more.
//   another port                                               bind, which the guest's connects never collide with
//   below 1024, or one that a program of the guest listens on  the agent binds
// If a port is in use (EADDRINUSE, EADDRNOTAVAIL), the stand-in keeps its address and gets any port; that is counted. Where the
// port must be kept (a server that the guest has dialled, which are few), it is bound explicitly then, whatever range it is of: such
// a bind may also take over from a connection in TIME_WAIT (inet_hashtables.c __inet_check_established; RFC 6191).
//
// The agent is trusted less than the helper: what it hands over is checked, and is of no use but as a socket. When it is lost,
// the stock is closed, everything that waits fails, and the kernel path is off; what was given out lives on, and the descriptor of
// the nf_tables socket that is kept here keeps it steered.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "netstack/relay/kernel_path.h"
#include "netstack/relay/stand_ins.h"
#include "src/agent/agent_link.h"
#include "src/base/clock.h"
#include "src/base/limits.h"
#include "src/loop/loop.h"

namespace nh {

class AgentStandIns final : public StandIns, private AgentObserver {
 public:
  /// All must outlive it; what the agent has proved is written to `path`. The link must be served (AgentLink::serve) before the
  /// first answer can come. `full_stock`: blank stand-ins of a family that are kept, at least one.
  AgentStandIns(Loop& loop, AgentLink& link, KernelPath& path, std::size_t full_stock = limits::stand_in_stock);
  AgentStandIns(const AgentStandIns&) = delete;
  AgentStandIns& operator=(const AgentStandIns&) = delete;
  ~AgentStandIns() override;

  /// Asks for the steering; once. `dial`: agent::SteeringRequest.
  void start(const PerFamily<std::optional<Endpoint>>& dial);
  /// A forward leads to the guest's 127.0.0.1: route_localnet is set on its TAP. open() to there asks for it by itself; who
  /// writes frames to there must ask here. Nothing is told: until it is set, the guest does not answer.
  void allow_guest_loopback();

  Opening open(const Endpoint& guest_peer, const Endpoint& guest, Port port, Done done) override;
  void check(std::function<void()> done) override;
  void drop_check() override { on_checked_ = nullptr; }
  Opening listen(Kind kind, const Endpoint& at, Done done) override;
  Opening open_udp(const Endpoint& guest_peer, const Endpoint& guest, Done done) override;
  void cancel(std::uint64_t ticket) override;

  struct Counters {
    std::uint64_t opened = 0;       ///< stand-ins given out
    std::uint64_t port_let_go = 0;  ///< of them: with another port than was asked for
    std::uint64_t failed = 0;
  };
  const Counters& counters() const { return counters_; }
  std::size_t stock(Family family) const { return stock_[index(family)].size(); }

 private:
  enum class What : std::uint8_t { stream, udp, tcp_listener, udp_socket };
  struct Waiting {
    What what;
    Endpoint guest_peer;  ///< where it binds
    Endpoint guest;       ///< whereto it connects
    Done done;
    Instant deadline;
    Port port = Port::may_change;
    bool asked = false;  ///< the agent was
    bool bound_by_agent = false;
    bool bound_explicitly = false;  ///< though the port is of the guest's range
  };
  struct PortRange {
    std::uint16_t first = 0, last = 0;
  };

  static std::size_t index(Family family) { return family == Family::v4 ? 0 : 1; }
  // AgentObserver
  void on_steering(const agent::SteeringReport& report, std::vector<UniqueFd> fds) override;
  void on_batch(const agent::Batch& batch, std::vector<UniqueFd> fds) override;
  void on_answer(const agent::Answer& answer, UniqueFd fd) override;
  void on_agent_lost(const Error& error) override;

  bool ask_for_steering();
  Opening begin(Waiting waiting);
  /// nullopt: it has to wait.
  std::optional<Result<UniqueFd>> attempt(Waiting& waiting, std::uint64_t ticket);
  std::optional<Result<UniqueFd>> attempt_stream(Waiting& waiting, std::uint64_t ticket);
  std::optional<Result<UniqueFd>> connect_bound(Waiting& waiting, std::uint64_t ticket, UniqueFd fd);
  void ask(Waiting& waiting, std::uint64_t ticket);
  bool loopback_is_allowed(const Endpoint& guest);
  void ask_for_loopback();
  void restock(Family family);
  void serve_waiting();
  void fail_waiting(const Error& error, std::optional<Family> family);
  bool is_served(const Waiting& waiting) const;
  void fail_unserved();
  void finish(std::uint64_t ticket, Result<UniqueFd> result);
  void count(const Result<UniqueFd>& result);
  /// After EADDRINUSE or EADDRNOTAVAIL: can it go on in another way?
  bool other_way(Waiting& waiting);
  std::optional<PortRange> port_range();
  Error not_served() const;
  void turn_off(std::string reason);
  void checked();
  void learn_of_ports(int fd);
  void arm();

  Loop& loop_;
  AgentLink& link_;
  KernelPath& path_;
  std::size_t full_stock_;
  Timer timer_;
  PerFamily<std::optional<Endpoint>> dial_;
  std::function<void()> on_checked_;
  std::uint32_t steering_asked_ = 0;  ///< seq of the last SteeringRequest
  std::array<std::vector<UniqueFd>, 2> stock_;
  std::array<std::deque<std::uint32_t>, 2> batches_;        ///< asked for, with their counts
  std::map<std::uint64_t, Waiting> waiting_;                ///< by ticket, so in their order
  std::unordered_map<std::uint32_t, std::uint64_t> asked_;  ///< seq to ticket; 0: Localnet
  std::uint64_t next_ticket_ = 1;
  std::uint32_t next_seq_ = 1;
  enum class Loopback : std::uint8_t { closed, asked, open } loopback_ = Loopback::closed;
  bool ports_are_known_ = false;  ///< KernelPathState::ports_kept was found out
  UniqueFd nftables_, port_range_fd_;
  std::optional<PortRange> port_range_;
  Instant port_range_read_ = Instant::min();
  Counters counters_;
};

}  // namespace nh
