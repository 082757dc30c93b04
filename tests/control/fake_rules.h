// SPDX-License-Identifier: BSD-3-Clause
// Rules and flows in memory, and a HelperInfo, for tests of the control protocol.
#pragma once

#include <algorithm>

#include "src/control/commands.h"
#include "src/control/info.h"

namespace nh::test {

class FakeRules final : public Rules {
 public:
  Result<std::vector<RuleEntry>> add(const std::vector<RuleSpec>& specs) override {
    if (failure) return *failure;
    std::vector<RuleEntry> added;
    for (const RuleSpec& spec : specs) added.push_back(make(spec));
    entries.insert(entries.end(), added.begin(), added.end());
    if (events != nullptr)
      for (const RuleEntry& rule : added) events->publish(RuleAdded{rule});
    return added;
  }
  Result<std::vector<RuleEntry>> replace(const std::vector<RuleSpec>& specs) override {
    if (failure) return *failure;
    std::vector<RuleEntry> next;
    for (const RuleSpec& spec : specs) {
      const auto kept = std::find_if(entries.begin(), entries.end(), [&](const auto& rule) { return rule.spec == spec; });
      if (kept != entries.end() &&
          std::none_of(next.begin(), next.end(), [&](const auto& rule) { return rule.id == kept->id; }))
        next.push_back(*kept);
      else
        next.push_back(make(spec));
    }
    std::sort(next.begin(), next.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    entries = next;
    return entries;
  }
  Result<> remove(const std::vector<std::uint64_t>& ids) override {
    for (const std::uint64_t id : ids)
      if (std::none_of(entries.begin(), entries.end(), [&](const auto& rule) { return rule.id == id; }))
        return Error{.code = Code::missing, .what = "there is no forward " + std::to_string(id)};
    for (const std::uint64_t id : ids) std::erase_if(entries, [&](const auto& rule) { return rule.id == id; });
    return Ok{};
  }
  std::vector<RuleEntry> list() const override { return entries; }
  std::vector<FlowRecord> flows(const FlowQuery& query) const override {
    std::vector<FlowRecord> found;
    for (const FlowRecord& flow : flow_records)
      if (flow.id > query.after && (!query.rule || flow.rule == *query.rule) && found.size() < query.limit)
        found.push_back(flow);
    return found;
  }
  bool kill_flow(std::uint64_t id) override {
    return std::erase_if(flow_records, [&](const auto& flow) { return flow.id == id; }) != 0;
  }

  std::vector<RuleEntry> entries;
  std::vector<FlowRecord> flow_records;
  std::optional<Error> failure;
  EventSink* events = nullptr;
  std::uint64_t last_id = 0;

 private:
  RuleEntry make(const RuleSpec& spec) {
    RuleEntry entry;
    entry.id = ++last_id;
    entry.spec = spec;
    if (spec.host_side != RuleSpec::HostSide::ports) return entry;
    const auto guest_ports = spec.guest_ports.empty() ? spec.host_ports : spec.guest_ports;
    for (std::size_t i = 0; i < spec.host_ports.size(); ++i) {
      const std::uint16_t port = spec.host_ports[i].first;
      ListenerEntry listener;
      listener.transport = spec.tcp ? Transport::tcp : Transport::udp;
      listener.host = {spec.host_address.value_or(Address::loopback(Family::v4)), port != 0 ? port : std::uint16_t{40000}};
      listener.guest = {spec.guest_address.value_or(*Address::parse("10.0.2.100")),
                        guest_ports[std::min(i, guest_ports.size() - 1)].first};
      entry.listeners.push_back(listener);
    }
    return entry;
  }
};

inline FlowRecord sample_flow(std::uint64_t id, std::uint64_t rule = 1) {
  FlowRecord flow;
  flow.id = id;
  flow.rule = rule;
  flow.host_peer = {*Address::parse("192.0.2.7"), 50123};
  flow.host_local = {*Address::parse("192.0.2.1"), 8080};
  flow.guest_peer = flow.host_peer;
  flow.guest = {*Address::parse("10.0.2.100"), 80};
  flow.opened = ManualClock().now() - std::chrono::milliseconds(12500);
  flow.bytes_to_guest = 1000;
  flow.bytes_to_host = 5'000'000;
  return flow;
}

inline HelperInfo sample_info() {
  HelperInfo info;
  info.version = "1.2.3";
  info.libslirp = {.version = "4.7.0", .config_version = 4, .known_bad = {"CVE-2000-0001"}};
  info.pid = 42;
  info.agent_pid = 43;
  info.target = {.kind = "pid", .text = "1234"};
  info.tap = {.name = "tap0", .mac = "02:00:00:00:00:01", .mtu = 1500, .offload = true};
  info.ipv4 = HelperInfo::Net{.network = "10.0.2.0/24", .gateway = "10.0.2.2", .dns = "10.0.2.3", .guest = "10.0.2.100"};
  info.tap_addresses = {"10.0.2.100", "fd00::100"};
  info.mtu = 1500;
  info.resolvers = {"192.0.2.1"};
  info.limits = {{"flows", 1000}};
  info.counters = {{"guard.drops.arp_spoofed", 7}, {"guard.drops.tftp", 0}, {"tap.frames_in", 9}};
  info.notes = {"no kernel path"};
  return info;
}

inline Stats sample_stats() {
  Stats stats;
  stats.started = ManualClock().now() - std::chrono::minutes(1);
  stats.bytes_to_guest = 1000;
  stats.bytes_to_host = 5'000'000;
  stats.flows_of(FlowPath::relay) = 2;
  stats.opened_of(FlowPath::relay) = 5;
  stats.ended_of(FlowEnd::closed) = 3;
  stats.uses = {{"forwards", 1, 4096}};
  stats.loop_turns = 77;
  return stats;
}

inline Backend backend(Rules& rules, const Clock& clock) {
  return {.rules = rules, .info = sample_info, .stats = sample_stats, .clock = clock};
}

}  // namespace nh::test
