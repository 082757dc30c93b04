// SPDX-License-Identifier: BSD-3-Clause
// Listeners: the open sockets of all rules, each with the best carrier that there is for it.
//
// Theory of operation. TCP goes by relays while the guest has stand-ins (KernelPath ready, or preparing: clients wait), else by
// libslirp, which opens a listener of its own: when the path changes, each listener is handed over, one by one. What libslirp
// cannot do (Unix sockets, inherited listeners, interfaces, IPv4 to IPv6 and back, the guest's loopback) rests then, its reason
// is told, and it is tried again when the stand-ins come back. UDP is always ours. A listener of a reverse rule is a socket of
// the guest's namespace: it is asked for, and comes later, or fails later.
//
// Each socket that a listener has is counted in FdBudget, here and nowhere else.
//
// Ownership: owns Unix sockets' files and which carrier has which number; the carriers own the sockets. Everything in ListenersSetup
// must outlive it. Single-threaded; neither sleeps nor blocks.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "netstack/relay/carrier.h"
#include "netstack/relay/fd_budget.h"
#include "netstack/relay/kernel_path.h"
#include "netstack/relay/stand_ins.h"
#include "src/base/limits.h"
#include "src/control/rules.h"
#include "src/forward/rule_plan.h"
#include "src/linux/listen_fds.h"
#include "src/linux/unix_listener.h"

namespace nh {

struct ListenersSetup {
  FdBudget* fds;
  Carrier* general;               ///< TCP by libslirp
  Carrier* datagrams;             ///< UDP of host clients
  Carrier* reverse_datagrams;     ///< UDP of guest clients
  Carrier* relays = nullptr;      ///< TCP of both by relays; null: there are none
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
  explicit Listeners(ListenersSetup setup);
  ~Listeners() { clear(); }
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  /// Gives the listener's number. `port`: instead of the plan's 0. Errors: those of bind_error and UnixListener; exhausted: more
  /// than `most`, or no descriptor or epoll watch is left; unsupported: only relays could do it, and there are none.
  Result<std::uint64_t> open(std::uint64_t rule, const ListenerPlan& plan, std::uint16_t port = 0);
  /// Whether this listener can lead there: unsupported, with a field, if not.
  Result<> may_change(std::uint64_t number, const ListenerPlan& plan) const;
  /// The same socket, of another rule or with another destination. may_change() was asked.
  void change(std::uint64_t number, std::uint64_t rule, const ListenerPlan& plan);
  void close(std::uint64_t number);
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

  /// All that there are.
  const std::vector<Carrier*>& carriers() const { return carriers_; }
  std::size_t size() const { return open_.size(); }
  const ListenerPlan& plan(std::uint64_t number) const { return open_.at(number).plan; }
  const Endpoint& bound(std::uint64_t number) const { return open_.at(number).bound; }
  std::uint64_t rule(std::uint64_t number) const { return open_.at(number).rule; }
  bool works(std::uint64_t number) const;
  /// Those on a host port that this one would take.
  std::vector<std::uint64_t> rivals(const ListenerPlan& plan) const;
  ListenerEntry entry(std::uint64_t number) const;
  /// Host ports in use by listeners of rules other than `rule`.
  PortSet host_ports_without(std::uint64_t rule) const;
  /// Directories of Unix sockets, from which their files will be removed.
  std::vector<int> directory_fds() const;

 private:
  struct Open {
    ListenerPlan plan;
    std::uint64_t rule = 0;
    Endpoint bound = {};         ///< its port is kept when the listener is handed over
    Carrier* carrier = nullptr;  ///< null: nobody takes its clients, for `reason`
    std::string reason = {};
    std::uint64_t ticket = 0;  ///< of the guest's socket that was asked for; 0: none
    FdBudget::Kept fds = {};   ///< with a carrier
    std::optional<UnixListener> file = std::nullopt;
  };

  Result<> carry(std::uint64_t number, Open& open);
  /// Do they carry this one, as things are?
  bool relays_carry(const Open& open) const;
  /// Another listener has the IPv4 half of this one's [::].
  bool has_v4_half(const Open& open) const;
  Result<> carry_by_relays(std::uint64_t number, Open& open);
  Result<> carry_by_general(std::uint64_t number, Open& open);
  Result<> check_general_destination(const Open& open, const Destination& destination) const;
  Result<> check_loopback(const Destination& destination) const;
  /// The carrier has it from now on, with so many descriptors.
  Result<> start(std::uint64_t number, Open& open, Carrier& carrier, ListenOn on, std::size_t descriptors = 1);
  Result<> ask_guest(std::uint64_t number, Open& open);
  void arrived(std::uint64_t number, Result<UniqueFd> socket);
  /// The guest's socket that was asked for is there, or will not be.
  Result<> carry_guest_socket(std::uint64_t number, Open& open, Result<UniqueFd> socket);
  Result<UniqueFd> relay_socket(Open& open);
  Result<UniqueFd> host_socket(const Open& open) const;
  /// Not for good: it comes back, perhaps with another carrier.
  void let_go(std::uint64_t number, Open& open, bool for_good);
  void fail(Open& open, const std::string& reason);

  ListenersSetup setup_;
  std::vector<Carrier*> carriers_;
  std::map<std::uint64_t, Open> open_;
  std::uint64_t last_number_ = 0;
  bool confined_ = false;
};

}  // namespace nh
