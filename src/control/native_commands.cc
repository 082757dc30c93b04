// SPDX-License-Identifier: BSD-3-Clause
// Our own commands: rules, flows, stats, events, info.
#include <algorithm>
#include <array>
#include <limits>

#include "src/base/limits.h"
#include "src/control/command_table.h"
#include "src/control/info_json.h"
#include "src/control/request.h"
#include "src/control/rules_json.h"
#include "src/control/stats_json.h"

namespace nh {
namespace {

constexpr std::uint64_t largest_id = std::numeric_limits<std::int64_t>::max();

/// What the rules' owner could not do. `only`: the field of an error about the one rule that was given, which the owner
/// names without its place.
Refusal not_done(std::string_view command, Error error, const std::string& only) {
  if (!only.empty() && !error.field.starts_with("rules["))
    error.field = error.field.empty() ? only : only + "." + error.field;
  const std::string place = error.field.empty() ? std::string() : " at " + error.field;
  return Refusal{.code = error.code,
                 .words = std::string(command) + ": failed" + place,
                 .rule = error.message(),
                 .field = std::move(error.field)};
}

Return told(const std::vector<RuleEntry>& entries) {
  Json rules = Json::array();
  for (const RuleEntry& entry : entries) rules.push_back(json_of(entry));
  return Return{Json{{"rules", std::move(rules)}}};
}

Refusal missing_member(std::string_view command, const std::string& name) {
  return bad_argument(command, Error{.code = Code::invalid, .what = "is missing", .field = name});
}

/// {"rules": [RULE, ...]}, or the members of one rule themselves.
Outcome forward_add(const CommandContext& context, const Json& arguments) {
  const auto given = arguments.find("rules");
  const bool several = given != arguments.end();
  if (several && arguments.size() > 1)
    return bad_argument(
        "forward.add",
        Error{.code = Code::invalid, .what = "the members of one rule cannot stand beside it", .field = "rules"});
  if (!several && arguments.empty()) return missing_member("forward.add", "rules");
  std::vector<RuleSpec> specs;
  if (several) {
    auto parsed = rules_of(*given);
    if (!parsed) return bad_argument("forward.add", std::move(parsed).error());
    specs = std::move(*parsed);
  } else {
    auto parsed = rule_of(arguments, "");
    if (!parsed) return bad_argument("forward.add", std::move(parsed).error());
    specs.push_back(std::move(*parsed));
  }
  if (specs.empty()) return told({});
  auto added = context.backend.rules.add(specs);
  if (!added)
    return not_done("forward.add", std::move(added).error(), several && specs.size() == 1 ? "rules[0]" : std::string());
  return told(*added);
}

Outcome forward_replace(const CommandContext& context, const Json& arguments) {
  const auto given = arguments.find("rules");
  if (given == arguments.end()) return missing_member("forward.replace", "rules");
  auto specs = rules_of(*given);
  if (!specs) return bad_argument("forward.replace", std::move(specs).error());
  auto replaced = context.backend.rules.replace(*specs);
  if (!replaced)
    return not_done("forward.replace", std::move(replaced).error(), specs->size() == 1 ? "rules[0]" : std::string());
  return told(*replaced);
}

Result<std::vector<std::uint64_t>> ids_of(const Json& arguments) {
  const auto several = arguments.find("ids");
  if (several == arguments.end()) {
    NH_LET(id, parse_id(arguments, "id"));
    return std::vector<std::uint64_t>{id};
  }
  const auto broken = [](std::string rule, std::string field) {
    return Error{.code = Code::invalid, .what = std::move(rule), .field = std::move(field)};
  };
  if (arguments.contains("id")) return broken("cannot stand beside ids", "id");
  if (!several->is_array() || several->empty()) return broken("must be an array of at least one id", "ids");
  std::vector<std::uint64_t> ids;
  for (const Json& each : *several) {
    NH_LET(id, integer_of(each, 1, largest_id, "ids[" + std::to_string(ids.size()) + "]"));
    ids.push_back(id);
  }
  std::vector<std::uint64_t> sorted = ids;
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end()) return broken("has " + std::to_string(*twice) + " twice", "ids");
  return ids;
}

Outcome forward_remove(const CommandContext& context, const Json& arguments) {
  const auto ids = ids_of(arguments);
  if (!ids) return bad_argument("forward.remove", ids.error());
  const auto removed = context.backend.rules.remove(*ids);
  if (removed) return Return{};
  Error error = removed.error();
  error.field = arguments.contains("ids") ? "ids" : "id";
  return not_done("forward.remove", std::move(error), "");
}

Outcome forward_list(const CommandContext& context, const Json&) {
  return told(context.backend.rules.list());
}

Result<FlowQuery> query_of(const Json& arguments) {
  FlowQuery query{.limit = limits::control_flows};
  if (const auto after = arguments.find("after"); after != arguments.end()) {
    NH_LET(id, integer_of(*after, 0, largest_id, "after"));
    query.after = id;
  }
  if (const auto limit = arguments.find("limit"); limit != arguments.end()) {
    NH_LET(count, integer_of(*limit, 1, limits::control_flows, "limit"));
    query.limit = static_cast<std::size_t>(count);
  }
  if (arguments.contains("rule")) {
    NH_LET(rule, parse_id(arguments, "rule"));
    query.rule = rule;
  }
  return query;
}

Outcome flow_list(const CommandContext& context, const Json& arguments) {
  const auto query = query_of(arguments);
  if (!query) return bad_argument("flow.list", query.error());
  const std::vector<FlowRecord> flows = context.backend.rules.flows(*query);
  const Instant now = context.backend.clock.now();
  Json listed = Json::array();
  for (const FlowRecord& flow : flows) listed.push_back(json_of(flow, now));
  const bool more = flows.size() == query->limit;
  return Return{Json{{"flows", std::move(listed)}, {"next", more ? Json(flows.back().id) : Json(nullptr)}}};
}

Outcome flow_kill(const CommandContext& context, const Json& arguments) {
  const auto id = parse_id(arguments, "id");
  if (!id) return bad_argument("flow.kill", id.error());
  if (context.backend.rules.kill_flow(*id)) return Return{};
  return Refusal{.code = Code::missing,
                 .words = "flow.kill: failed at id",
                 .rule = "there is no flow " + std::to_string(*id) + " that can be ended",
                 .field = "id"};
}

Outcome stats(const CommandContext& context, const Json&) {
  const Backend& backend = context.backend;
  return Return{json_of(backend.stats(), backend.rules.list(), backend.clock.now())};
}

Result<EventKinds> kinds_of(const Json& names) {
  if (!names.is_array())
    return Error{.code = Code::invalid, .what = "must be an array, not " + kind_of(names), .field = "events"};
  EventKinds kinds;
  std::size_t place = 0;
  for (const Json& each : names) {
    const std::string field = "events[" + std::to_string(place++) + "]";
    NH_LET(name, string_of(each, field));
    std::size_t kind = 0;
    while (kind < kinds.size() && event_name(kind) != name) ++kind;
    if (kind < kinds.size()) {
      kinds.set(kind);
      continue;
    }
    std::string known;
    for (kind = 0; kind < kinds.size(); ++kind) known += (known.empty() ? "" : ", ") + std::string(event_name(kind));
    return Error{.code = Code::invalid, .what = "there are only " + known + ", not \"" + shown(name) + "\"", .field = field};
  }
  return kinds;
}

Outcome events_subscribe(const CommandContext& context, const Json& arguments) {
  if (context.dialect == Dialect::slirp4netns)
    return Refusal{.code = Code::unsupported,
                   .words = "events.subscribe: failed",
                   .rule = "under slirp4netns's name a connection ends after its first reply"};
  EventKinds kinds;
  kinds.set();
  if (const auto given = arguments.find("events"); given != arguments.end()) {
    auto named = kinds_of(*given);
    if (!named) return bad_argument("events.subscribe", std::move(named).error());
    kinds = *named;
  }
  Json names = Json::array();
  for (std::size_t kind = 0; kind < kinds.size(); ++kind)
    if (kinds.test(kind)) names.push_back(std::string(event_name(kind)));
  return Return{.value = Json{{"events", std::move(names)}}, .subscribe = kinds};
}

Outcome info(const CommandContext& context, const Json&) {
  return Return{json_of(context.backend.info())};
}

constexpr std::array<std::string_view, 1> rules_member{"rules"};
constexpr std::array<std::string_view, 1> id_member{"id"};
constexpr std::array<std::string_view, 2> ids_members{"id", "ids"};
constexpr std::array<std::string_view, 3> query_members{"after", "limit", "rule"};
constexpr std::array<std::string_view, 1> events_member{"events"};
/// "rules", and the members of one.
constexpr std::array<std::string_view, 11> add_members{"rules",          "kind",       "proto",     "host_addr",
                                                       "host_interface", "host_port",  "host_unix", "host_fd",
                                                       "guest_addr",     "guest_port", "exclude"};

constexpr std::array<Command, 9> all_native_commands{{
    {"forward.add", add_members, forward_add},
    {"forward.remove", ids_members, forward_remove},
    {"forward.replace", rules_member, forward_replace},
    {"forward.list", {}, forward_list},
    {"flow.list", query_members, flow_list},
    {"flow.kill", id_member, flow_kill},
    {"stats", {}, stats},
    {"events.subscribe", events_member, events_subscribe},
    {"info", {}, info},
}};

}  // namespace

std::span<const Command> native_commands() {
  return all_native_commands;
}

}  // namespace nh
