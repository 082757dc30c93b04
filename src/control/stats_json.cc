// SPDX-License-Identifier: BSD-3-Clause
#include "src/control/stats_json.h"

#include "src/control/rules_json.h"

namespace nh {
namespace {

template <class Name, std::size_t n, class NameOf>
Json by_name(const std::array<std::uint64_t, n>& numbers, NameOf name_of) {
  Json json = Json::object();
  for (std::size_t i = 0; i < n; ++i) json[std::string(name_of(static_cast<Name>(i)))] = numbers[i];
  return json;
}

}  // namespace

Json json_of(const Stats& stats, const std::vector<RuleEntry>& rules, Instant now) {
  Json of_rules = Json::array();
  for (const RuleEntry& rule : rules) {
    of_rules.push_back(Json{{"id", rule.id},
                            {"flows", rule.counters.flows},
                            {"flows_opened", rule.counters.flows_opened},
                            {"flows_failed", rule.counters.flows_failed},
                            {"bytes_to_guest", rule.counters.bytes_to_guest},
                            {"bytes_to_host", rule.counters.bytes_to_host}});
  }
  Json limits = Json::object();
  for (const Stats::Use& use : stats.uses) limits[use.name] = Json{{"used", use.used}, {"limit", use.limit}};
  return Json{{"time", seconds_of(now.time_since_epoch())},
              {"uptime", seconds_of(now - stats.started)},
              {"bytes_to_guest", stats.bytes_to_guest},
              {"bytes_to_host", stats.bytes_to_host},
              {"flows",
               {{"now", by_name<FlowPath>(stats.flows, path_name)},
                {"opened", by_name<FlowPath>(stats.flows_opened, path_name)},
                {"ended", by_name<FlowEnd>(stats.flows_ended, end_name)}}},
              {"rules", std::move(of_rules)},
              {"limits", std::move(limits)},
              {"kernel_path", {{"ipv4", stats.kernel_path.v4}, {"ipv6", stats.kernel_path.v6}}},
              {"loop", {{"turns", stats.loop_turns}}}};
}

}  // namespace nh
