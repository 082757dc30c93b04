// SPDX-License-Identifier: BSD-3-Clause
// RuleCounters: the counters of rules, as sums over their listeners. For UDP, whose flows end with their listener.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <unordered_set>

#include "netstack/relay/flow.h"

namespace nh {

class RuleCounters {
 public:
  /// `listener` must stay where it is until close() or move().
  void open(std::uint64_t rule, const FlowCounters& listener) { rules_[rule].open.insert(&listener); }
  /// What it has counted goes with it.
  void move(std::uint64_t from, std::uint64_t to, const FlowCounters& listener) {
    rules_[from].open.erase(&listener);
    open(to, listener);
  }
  /// What it has counted stays with the rule.
  void close(std::uint64_t rule, const FlowCounters& listener) {
    Rule& of = rules_[rule];
    of.open.erase(&listener);
    of.closed += listener;
  }
  FlowCounters of(std::uint64_t rule) const {
    const auto found = rules_.find(rule);
    if (found == rules_.end()) return {};
    FlowCounters sum = found->second.closed;
    for (const FlowCounters* listener : found->second.open) sum += *listener;
    return sum;
  }
  /// It has no listener any longer.
  void forget(std::uint64_t rule) { rules_.erase(rule); }

 private:
  struct Rule {
    std::unordered_set<const FlowCounters*> open;
    FlowCounters closed;
  };
  std::unordered_map<std::uint64_t, Rule> rules_;
};

}  // namespace nh
