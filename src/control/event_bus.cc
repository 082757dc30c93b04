// SPDX-License-Identifier: BSD-3-Clause
#include "src/control/event_bus.h"

#include <algorithm>
#include <array>

#include "src/control/rules_json.h"

namespace nh {
namespace {

constexpr std::array<std::string_view, std::variant_size_v<Event>> event_names{
    "rule_added", "rule_removed", "rule_failed", "flow_opened", "flow_closed", "path_changed", "limit_reached"};

/// The data of each kind.
struct Data {
  Instant now;
  Json operator()(const RuleAdded& event) const { return json_of(event.rule); }
  Json operator()(const RuleRemoved& event) const { return {{"id", event.id}, {"text", event.rule}}; }
  Json operator()(const RuleFailed& event) const { return {{"id", event.id}, {"reason", event.reason}}; }
  Json operator()(const FlowOpened& event) const { return json_of(event.flow, now); }
  Json operator()(const FlowClosed& event) const {
    Json json = json_of(event.flow, now);
    json["end"] = std::string(end_name(event.end));
    return json;
  }
  Json operator()(const PathChanged& event) const {
    return {{"direction", std::string(direction_name(event.direction))},
            {"path", std::string(path_name(event.path))},
            {"reason", event.reason}};
  }
  Json operator()(const LimitReached& event) const { return {{"limit", event.limit}, {"value", event.value}}; }
};

}  // namespace

std::string_view event_name(std::size_t kind) {
  return event_names.at(kind);
}
std::string_view event_name(const Event& event) {
  return event_names[event.index()];
}

std::string line_of(const Event& event, Instant now) {
  return text_of(Json{{"event", std::string(event_name(event))},
                      {"time", seconds_of(now.time_since_epoch())},
                      {"data", std::visit(Data{now}, event)}}) +
         "\n";
}

void EventBus::subscribe(Subscriber& subscriber, EventKinds kinds) {
  const auto found = std::find_if(subscriptions_.begin(), subscriptions_.end(),
                                  [&](const Subscription& each) { return each.subscriber == &subscriber; });
  if (kinds.none()) {
    if (found != subscriptions_.end()) subscriptions_.erase(found);
  } else if (found != subscriptions_.end()) {
    found->kinds = kinds;
  } else {
    subscriptions_.push_back({&subscriber, kinds});
  }
}

void EventBus::publish(const Event& event) {
  const std::size_t kind = event.index();
  const auto wants = [kind](const Subscription& each) { return each.kinds.test(kind); };
  if (std::none_of(subscriptions_.begin(), subscriptions_.end(), wants)) return;
  ++published_;
  const std::string line = line_of(event, clock_.now());
  for (const Subscription& each : subscriptions_)
    if (wants(each)) each.subscriber->take_event(line);
}

}  // namespace nh
