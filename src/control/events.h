// SPDX-License-Identifier: BSD-3-Clause
// What happens in the helper, for those who subscribe (events.subscribe).
#pragma once

#include <string>
#include <variant>

#include "src/control/rules.h"

namespace nh {

struct RuleAdded {
  RuleEntry rule;
};
struct RuleRemoved {
  std::uint64_t id = 0;
  std::string rule;
};
/// A rule that was in force works no longer, or not in full: a listener of an automatic rule that could not be opened, for example.
struct RuleFailed {
  std::uint64_t id = 0;
  std::string reason;
};
struct FlowOpened {
  FlowRecord flow;
};
struct FlowClosed {
  FlowRecord flow;
  FlowEnd end = FlowEnd::closed;
};
/// New flows take another path from now on.
struct PathChanged {
  FlowDirection direction = FlowDirection::in;
  FlowPath path = FlowPath::relay;
  std::string reason;
};
/// A limit (base/limits.h) was reached; told once until it is left.
struct LimitReached {
  std::string limit;
  std::uint64_t value = 0;
};
using Event = std::variant<RuleAdded, RuleRemoved, RuleFailed, FlowOpened, FlowClosed, PathChanged, LimitReached>;

class EventSink {
 public:
  virtual ~EventSink() = default;
  /// False: nobody listens, an event need not even be made.
  virtual bool wanted() const = 0;
  virtual void publish(const Event& event) = 0;
};

}  // namespace nh
