// SPDX-License-Identifier: BSD-3-Clause
// What the rules stand on, in memory: a carrier, the guest's stand-ins, somebody who hears of events. The listeners of rules are
// real sockets, because which host ports can be had is the kernel's to say.
#pragma once

#include <map>
#include <set>

#include "netstack/relay/carrier.h"
#include "src/control/events.h"
#include "src/forward/rule_table.h"
#include "tests/support/catch.h"

namespace nh::test {

/// A carrier that takes no clients. Its sockets are real, but those that it would open by itself.
struct FakeCarrier final : Carrier {
  struct One {
    std::uint64_t rule;
    ListenOn on;
    Endpoint bound;
    Destination destination;
  };
  Result<Endpoint> add(std::uint64_t number, std::uint64_t rule, ListenOn on, const Destination& destination) override {
    ++added;
    if (fault) return *fault;
    Endpoint bound;
    if (const UniqueFd* socket = std::get_if<UniqueFd>(&on)) {
      bound = bound_endpoint(socket->get());
    } else {
      bound = std::get<ListenAt>(on).endpoint;
      if (bound.port == 0) bound.port = next_port++;
    }
    REQUIRE(open.emplace(number, One{rule, std::move(on), bound, destination}).second);
    return bound;
  }
  Result<> change(std::uint64_t number, std::uint64_t rule, const Destination& destination) override {
    One& one = open.at(number);
    if (!changes && one.destination != destination) return Error{.code = Code::unsupported, .what = "only a new one can"};
    one.rule = rule;
    one.destination = destination;
    return Ok{};
  }
  void remove(std::uint64_t number) override { REQUIRE(open.erase(number) == 1); }
  bool paused() const override { return is_paused; }
  FlowCounters of_rule(std::uint64_t rule) const override { return {.flows_opened = 100 * rule}; }
  void forget_rule(std::uint64_t rule) override { forgotten.insert(rule); }
  std::vector<FlowRecord> flows(const FlowQuery&) const override {
    std::vector<FlowRecord> records;
    for (const std::uint64_t id : flow_ids) records.emplace_back().id = id;
    return records;
  }
  bool kill(std::uint64_t flow) override { return flow_ids.contains(flow); }
  /// The only listener that there is.
  const One& only() const {
    REQUIRE(open.size() == 1);
    return open.begin()->second;
  }

  std::map<std::uint64_t, One> open;
  std::set<std::uint64_t> forgotten, flow_ids;
  std::size_t added = 0;
  std::optional<Error> fault;
  bool changes = true, is_paused = false;
  std::uint16_t next_port = 50000;
};

struct FakeStandIns final : StandIns {
  void check(std::function<void()>) override {}
  void drop_check() override {}
  Opening open(const Endpoint&, const Endpoint&, Port, Done) override { return {}; }
  Opening listen(Kind kind, const Endpoint& at, Done done) override {
    if (lost) return {.result = Error{.code = Code::gone, .what = "the agent is lost"}};
    asked.emplace(++last, Asked{kind, at, std::move(done)});
    return {.ticket = last};
  }
  Opening open_udp(const Endpoint&, const Endpoint&, Done) override { return {}; }
  void cancel(std::uint64_t ticket) override { asked.erase(ticket); }
  /// Answers what was asked first.
  void answer(Result<UniqueFd> result) {
    auto first = asked.extract(asked.begin());
    first.mapped().done(std::move(result));
  }

  struct Asked {
    Kind kind;
    Endpoint at;
    Done done;
  };
  std::map<std::uint64_t, Asked> asked;
  std::uint64_t last = 0;
  bool lost = false;  // listen() fails at once
};

struct HeardEvents final : EventSink {
  bool wanted() const override { return true; }
  void publish(const Event& event) override { all.push_back(event); }
  template <class T>
  std::vector<T> of() const {
    std::vector<T> found;
    for (const Event& event : all)
      if (const T* one = std::get_if<T>(&event)) found.push_back(*one);
    return found;
  }
  std::vector<Event> all;
};

}  // namespace nh::test
