// SPDX-License-Identifier: BSD-3-Clause
// What the control socket asks of whoever owns the rules of the port forwards and their flows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "netstack/relay/flow.h"
#include "src/rules/rule_spec.h"

namespace nh {

/// One socket that a rule listens on.
struct ListenerEntry {
  Transport transport = Transport::tcp;
  Endpoint host;          ///< where it really listens; reverse: where it leads. port 0 for a Unix socket
  std::string host_path;  ///< of a Unix socket
  Endpoint guest;         ///< where it really leads; reverse: where it listens
  FlowPath path = FlowPath::relay;
  std::string reason;   ///< why the path is not the best one; empty: it is
  bool paused = false;  ///< it takes no clients at present: no fd is left
};

/// A rule that is in force.
struct RuleEntry {
  std::uint64_t id = 0;  ///< from 1, never used again; stays the same when a replacement keeps the rule
  RuleSpec spec;
  std::vector<ListenerEntry> listeners;  ///< automatic: those that are open at present
  FlowCounters counters;
};

class Rules {
 public:
  virtual ~Rules() = default;
  /// All of them, or none. Errors: in_use, privileged, exhausted, missing, unsupported, invalid; the message has errno
  /// and the cure, `field` is the member of RuleFields, for more than one rule "rules[2].host_port".
  virtual Result<std::vector<RuleEntry>> add(const std::vector<RuleSpec>& specs) = 0;
  /// The rules are these from now on, or nothing has changed. A rule whose spec is there already stays as it is, id,
  /// listeners and all; one that changes keeps the listeners that it has in common. Established flows live on.
  virtual Result<std::vector<RuleEntry>> replace(const std::vector<RuleSpec>& specs) = 0;
  /// All of them, or none: missing, naming the id. Established flows live on.
  virtual Result<> remove(const std::vector<std::uint64_t>& ids) = 0;
  /// Ordered by id.
  virtual std::vector<RuleEntry> list() const = 0;

  /// Ordered by id.
  virtual std::vector<FlowRecord> flows(const FlowQuery& query) const = 0;
  /// Resets it; false: there is no such flow, or none that can be ended.
  virtual bool kill_flow(std::uint64_t id) = 0;
};

}  // namespace nh
