// SPDX-License-Identifier: BSD-3-Clause
// Listeners: the open sockets of all rules, each on the best path that there is for it.
//
// Theory of operation. TCP goes by relays while the guest has stand-ins (KernelPath ready, or preparing: clients wait), else by
// libslirp, which opens a listener of its own: when the path changes, each listener is handed over, one by one. What libslirp
// cannot do (Unix sockets, inherited listeners, interfaces, IPv4 to IPv6 and back, the guest's loopback) rests then, its reason
// is told, and it is tried again when the stand-ins come back. UDP is always ours. A listener of a reverse rule is a socket of
// the guest's namespace: it is asked for, and comes later, or fails later.
//
// Ownership: owns Unix sockets' files and which path has which number; the paths own the sockets. Paths and StandIns must
// outlive it. Single-threaded; neither sleeps nor blocks.
#pragma once

#include <functional>
#include <map>
#include <optional>

#include "netstack/relay/kernel_path.h"
#include "netstack/relay/stand_ins.h"
#include "src/base/limits.h"
#include "src/forward/forward_paths.h"
#include "src/forward/rule_plan.h"
#include "src/linux/listen_fds.h"
#include "src/linux/unix_listener.h"

namespace nh {

struct ListenersSetup {
  GeneralPath* general;
  DatagramPath* datagrams;
  RelayPath* relays = nullptr;    ///< null: there are none
  StandIns* stand_ins = nullptr;  ///< null: the guest cannot be entered
  const KernelPath* path = nullptr;
  std::vector<ListenFd> inherited = {};
  std::size_t most = limits::forwards;
  /// A rule does not work as it did, or in part not at all.
  std::function<void(std::uint64_t rule, const std::string& reason)> failed = {};
  /// A destination is 127.0.0.1 in the guest: the TAP must take packets for it (route_localnet). Called each time.
  std::function<void()> loopback_wanted = {};
};

class Listeners {
 public:
  explicit Listeners(ListenersSetup setup) : setup_(std::move(setup)) {}
  ~Listeners() { clear(); }
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  /// Gives the listener's number. `port`: instead of the plan's 0. Errors: those of bind_error and UnixListener; exhausted: more
  /// than `most`; unsupported: only relays could do it, and there are none. `field` is set.
  Result<std::uint64_t> open(std::uint64_t rule, const ListenerPlan& plan, std::uint16_t port = 0);
  /// Whether the path that this listener is on can lead there: unsupported, with a field, if not.
  Result<> may_change(std::uint64_t number, const ListenerPlan& plan) const;
  /// The same socket, of another rule or with another destination. may_change() was asked.
  void change(std::uint64_t number, std::uint64_t rule, const ListenerPlan& plan);
  /// Gives what UDP clients of this listener have been; TCP is counted by rule.
  FlowCounters close(std::uint64_t number);
  void clear();

  /// Closes the socket for a while and keeps the place in the list; a failure of resume() is told as `failed`.
  void suspend(std::uint64_t number);
  void resume(std::uint64_t number);

  /// To be called when the KernelPath has changed: hands TCP over to the path that works now.
  void path_changed();
  /// From now on no Unix socket can be made (an empty root, a syscall filter).
  void confined() { confined_ = true; }

  bool relays_work() const;
  /// Why relays do not work; empty: they do.
  std::string why_no_relays() const;

  std::size_t size() const { return open_.size(); }
  const ListenerPlan& plan(std::uint64_t number) const { return open_.at(number).plan; }
  const Endpoint& bound(std::uint64_t number) const { return open_.at(number).bound; }
  std::uint64_t rule(std::uint64_t number) const { return open_.at(number).rule; }
  bool works(std::uint64_t number) const;
  /// Those on a host port that this one would take.
  std::vector<std::uint64_t> rivals(const ListenerPlan& plan) const;
  ListenerEntry entry(std::uint64_t number) const;
  FlowCounters datagram_counters(std::uint64_t number) const;
  /// Host ports in use by listeners of rules other than `rule`.
  PortSet host_ports_without(std::uint64_t rule) const;
  /// Directories of Unix sockets, from which their files will be removed.
  std::vector<int> directory_fds() const;

 private:
  enum class Carrier : std::uint8_t { none, relays, general, datagrams, awaited };
  struct Open {
    ListenerPlan plan;
    std::uint64_t rule = 0;
    Endpoint bound = {};  ///< its port is kept when the listener is handed over
    Carrier carrier = Carrier::none;
    std::string reason = {};
    std::uint64_t ticket = 0;
    std::optional<UnixListener> file = std::nullopt;
    std::optional<Endpoint> v4_half = std::nullopt;  ///< general, bound to [::]: libslirp's other listener
  };

  Result<> carry(std::uint64_t number, Open& open);
  /// Do they carry this one, as things are?
  bool relays_carry(const Open& open) const;
  /// Another listener has the IPv4 half of this one's [::].
  bool has_v4_half(const Open& open) const;
  Result<> carry_by_relays(std::uint64_t number, Open& open);
  Result<> carry_by_general(Open& open);
  Result<Endpoint> add_to_general(const Endpoint& host, const Endpoint& guest);
  Result<Endpoint> general_destination(const Open& open, const Destination& destination) const;
  Result<> check_loopback(const Destination& destination) const;
  Result<> carry_datagrams(std::uint64_t number, Open& open);
  Result<> ask_guest(std::uint64_t number, Open& open);
  void arrived(std::uint64_t number, Result<UniqueFd> socket);
  /// The guest's socket that was asked for is there, or will not be.
  Result<> carry_guest_socket(std::uint64_t number, Open& open, Result<UniqueFd> socket);
  Result<UniqueFd> relay_socket(Open& open);
  Result<UniqueFd> host_socket(Open& open);
  /// Not for good: it comes back, perhaps by another path.
  FlowCounters let_go(std::uint64_t number, Open& open, bool for_good = true);
  void fail(Open& open, const std::string& reason);

  ListenersSetup setup_;
  std::map<std::uint64_t, Open> open_;
  std::uint64_t last_number_ = 0;
  bool confined_ = false;
};

}  // namespace nh
