// SPDX-License-Identifier: BSD-3-Clause
// EventBus: hands each event, as one line of JSON, to those who subscribed to its kind.
//
// publish() is called from the data path, in the middle of anything. It makes the line and gives it to each subscriber's
// queue; what a subscriber does with it is bounded too: no write, nobody is destroyed (connection.h). Without a subscriber
// wanted() is false and an event costs nothing. Lines: {"event": NAME, "time": SECONDS, "data": {...}}, where time is that of
// the clock, CLOCK_MONOTONIC in the helper, as in the reply of `stats`.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "src/base/clock.h"
#include "src/control/events.h"

namespace nh {

/// Which kinds of Event, by their place in that variant.
using EventKinds = std::bitset<std::variant_size_v<Event>>;
/// "rule_added", "rule_removed", "rule_failed", "flow_opened", "flow_closed", "path_changed", "limit_reached".
std::string_view event_name(std::size_t kind);
std::string_view event_name(const Event& event);

/// The line of an event, its newline included.
std::string line_of(const Event& event, Instant now);

class EventBus final : public EventSink {
 public:
  class Subscriber {
   public:
    virtual ~Subscriber() = default;
    /// May neither subscribe, nor block, nor end anything.
    virtual void take_event(std::string_view line) = 0;
  };

  /// `clock` must outlive the bus.
  explicit EventBus(const Clock& clock) : clock_(clock) {}
  EventBus(const EventBus&) = delete;
  EventBus& operator=(const EventBus&) = delete;

  /// These kinds from now on, in place of those before; none ends the subscription, which must be done before the
  /// subscriber's own end.
  void subscribe(Subscriber& subscriber, EventKinds kinds);
  std::size_t subscribers() const { return subscriptions_.size(); }
  std::uint64_t published() const { return published_; }

  bool wanted() const override { return !subscriptions_.empty(); }
  void publish(const Event& event) override;

 private:
  struct Subscription {
    Subscriber* subscriber;
    EventKinds kinds;
  };

  const Clock& clock_;
  std::vector<Subscription> subscriptions_;
  std::uint64_t published_ = 0;  ///< events that somebody wanted
};

}  // namespace nh
