// SPDX-License-Identifier: BSD-3-Clause
// RuleTable: the rules of the port forwards.
//
// Theory of operation. A rule comes to a list of listeners (rule_plan.h), which listeners.h keeps open, each with the best carrier. A set
// of rules is put in force at once: every listener of it that is not there already is opened, then the old ones that the set has
// no use for are closed. Where a new one needs the port of one that goes, that one rests meanwhile, and comes back should
// anything fail. A listener at the same place goes over to the new rule as it is, with its clients.
//   automatic  follows guest_listens(): a port that the guest opens is opened here, unless another rule has it. A rule that is
//              added later and names the port itself takes it away. A port that cannot be had is told once, and tried again
//              whenever the guest's set changes.
//   reverse    its listeners are sockets of the guest's namespace, which come later: add() says yes before they are there, at the
//              start of the helper even before they are asked for. Until then the listener is `paused` with a reason; that it
//              failed is told by the event and stays in list().
#pragma once

#include <map>
#include <set>

#include "src/control/events.h"
#include "src/forward/listeners.h"

namespace nh {

struct RuleTableSetup {
  PlanRules rules;
  ListenersSetup listeners;                        ///< its `failed` is the table's own
  EventSink* events = nullptr;                     ///< may be null
  std::function<void(bool on)> follow_ports = {};  ///< there are automatic rules, or none any longer
};

class RuleTable final : public Rules {
 public:
  /// Everything in the setup must outlive the table.
  explicit RuleTable(RuleTableSetup setup);
  RuleTable(const RuleTable&) = delete;
  RuleTable& operator=(const RuleTable&) = delete;

  Result<std::vector<RuleEntry>> add(const std::vector<RuleSpec>& specs) override;
  Result<std::vector<RuleEntry>> replace(const std::vector<RuleSpec>& specs) override;
  Result<> remove(const std::vector<std::uint64_t>& ids) override;
  std::vector<RuleEntry> list() const override;
  std::vector<FlowRecord> flows(const FlowQuery& query) const override;
  bool kill_flow(std::uint64_t id) override;

  /// What programs in the guest listen on now, without our own sockets.
  void guest_listens(std::vector<GuestPort> ports);
  /// To be called when the KernelPath has changed.
  void path_changed(const KernelPathState& before, const KernelPathState& now);
  /// See Listeners.
  void confined() { listeners_.confined(); }
  std::vector<int> directory_fds() const { return listeners_.directory_fds(); }
  std::size_t listener_count() const { return listeners_.size(); }
  /// Ends every rule, without events.
  void clear();

 private:
  struct Rule {
    RuleSpec spec;
    std::vector<std::uint64_t> listeners = {};
    std::set<std::string> reported = {};  ///< automatic: places that could not be opened
  };
  struct Installation;

  Result<std::vector<std::uint64_t>> install(const std::vector<RuleSpec>& specs, const std::vector<std::size_t>& indices,
                                             std::set<std::uint64_t> dropped);
  Result<> open_all(Installation& job, std::uint64_t id, const std::vector<ListenerPlan>& plans);
  Result<std::uint64_t> open_one(Installation& job, std::uint64_t id, const ListenerPlan& plan, std::uint16_t port);
  Result<> open_pair(Installation& job, std::uint64_t id, const ListenerPlan& tcp, const ListenerPlan& udp);
  void undo(Installation& job);
  void commit(Installation& job);
  void close_rule(std::uint64_t id);
  void forget(std::uint64_t id);
  void follow_guest();
  void follow_guest(std::uint64_t id, Rule& rule);
  void ask_for_ports();
  void on_failed(std::uint64_t rule, const std::string& reason);
  void publish(const Event& event);
  RuleEntry entry(std::uint64_t id, const Rule& rule) const;
  std::vector<RuleEntry> entries(const std::vector<std::uint64_t>& ids) const;

  RuleTableSetup setup_;
  Listeners listeners_;
  std::map<std::uint64_t, Rule> rules_;
  std::vector<GuestPort> guest_ports_;
  std::uint64_t next_id_ = 1;  ///< never used twice (slirp4netns's clients count on it)
  bool following_ = false;
};

}  // namespace nh
