// SPDX-License-Identifier: BSD-3-Clause
// What the rules stand on, in memory: the paths, the guest's stand-ins, somebody who hears of events. The relays' listeners are
// real sockets, because which host ports can be had is the kernel's to say.
#pragma once

#include <map>
#include <set>

#include "netstack/relay/listener.h"
#include "src/control/events.h"
#include "src/forward/rule_table.h"

namespace nh::test {

struct FakeRelays final : RelayPath {
  struct One {
    std::uint64_t rule;
    UniqueFd fd;
    Destination destination;
  };
  Result<> add(std::uint64_t number, std::uint64_t rule, UniqueFd listener, const Destination& destination) override {
    ++added;
    if (full) return Error{.code = Code::exhausted, .what = "no epoll watch is left"};
    open.emplace(number, One{rule, std::move(listener), destination});
    return Ok{};
  }
  void change(std::uint64_t number, std::uint64_t rule, const Destination& destination) override {
    open.at(number).rule = rule;
    open.at(number).destination = destination;
  }
  void remove(std::uint64_t number) override { open.erase(number); }
  bool paused(std::uint64_t) const override { return false; }
  FlowCounters of_rule(std::uint64_t rule) const override { return {.flows_opened = 100 * rule}; }
  void forget_rule(std::uint64_t rule) override { forgotten.insert(rule); }
  std::vector<FlowRecord> flows(const Rules::FlowQuery&) const override {
    return {FlowRecord{.id = 4, .host_peer = {}, .host_local = {}, .guest_peer = {}, .guest = {}}};
  }
  bool kill(std::uint64_t flow) override { return flow == 4; }

  std::map<std::uint64_t, One> open;
  std::set<std::uint64_t> forgotten;
  std::size_t added = 0;
  bool full = false;
};

struct FakeDatagrams final : DatagramPath {
  struct One {
    std::uint64_t rule;
    Endpoint at;
    Destination destination;
  };
  Result<Endpoint> add(std::uint64_t number, std::uint64_t rule, const Endpoint& at, const std::string&,
                       const Destination& destination) override {
    ++added;
    Endpoint bound = at;
    if (bound.port == 0) bound.port = next_port++;
    for (const auto& [other, one] : open)
      if (one.at == bound) return Error{.code = Code::in_use, .what = "taken", .field = "host_port"};
    if (busy.contains(bound.port)) return Error{.code = Code::in_use, .what = "taken", .field = "host_port"};
    open.emplace(number, One{rule, bound, destination});
    return bound;
  }
  Result<> add_reverse(std::uint64_t number, std::uint64_t rule, UniqueFd, const Destination& destination) override {
    open.emplace(number, One{rule, {}, destination});
    return Ok{};
  }
  Result<> change(std::uint64_t number, std::uint64_t rule, const Destination& destination) override {
    open.at(number).rule = rule;
    open.at(number).destination = destination;
    return Ok{};
  }
  void remove(std::uint64_t number) override { open.erase(number); }
  FlowCounters of_listener(std::uint64_t) const override { return {.flows_opened = 1}; }
  std::vector<FlowRecord> flows(const Rules::FlowQuery&) const override {
    return {FlowRecord{.id = 5, .host_peer = {}, .host_local = {}, .guest_peer = {}, .guest = {}},
            FlowRecord{.id = 3, .host_peer = {}, .host_local = {}, .guest_peer = {}, .guest = {}}};
  }
  bool kill(std::uint64_t flow) override { return flow == 5; }

  std::map<std::uint64_t, One> open;
  std::set<std::uint16_t> busy;
  std::size_t added = 0;
  std::uint16_t next_port = 40000;
};

struct FakeGeneral final : GeneralPath {
  Result<Endpoint> add(const Endpoint& host, const Endpoint& guest) override {
    Endpoint bound = host;
    if (bound.port == 0) bound.port = 50000;
    if (fault != 0) return sys_error(fault, "forwarding");
    open.emplace(bound, guest);
    return bound;
  }
  void remove(const Endpoint& host) override { open.erase(host); }

  std::map<Endpoint, Endpoint> open;
  int fault = 0;
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
