// SPDX-License-Identifier: BSD-3-Clause
#include "src/control/rules_json.h"

#include <algorithm>
#include <array>
#include <limits>

#include "src/control/request.h"

namespace nh {
namespace {

struct Member {
  std::string_view name;
  std::optional<std::string> RuleFields::*field;
  std::uint64_t largest;  ///< of an integer; 0: only a string will do
};

constexpr std::uint64_t no_integer = 0, any_port = 65535, any_number = std::numeric_limits<std::int32_t>::max();
constexpr std::array<Member, 10> members{{{"kind", &RuleFields::kind, no_integer},
                                          {"proto", &RuleFields::proto, no_integer},
                                          {"host_addr", &RuleFields::host_addr, no_integer},
                                          {"host_interface", &RuleFields::host_interface, no_integer},
                                          {"host_port", &RuleFields::host_port, any_port},
                                          {"host_unix", &RuleFields::host_unix, no_integer},
                                          {"host_fd", &RuleFields::host_fd, any_number},
                                          {"guest_addr", &RuleFields::guest_addr, no_integer},
                                          {"guest_port", &RuleFields::guest_port, any_port},
                                          {"exclude", &RuleFields::exclude, any_port}}};

constexpr auto member_names = [] {
  std::array<std::string_view, members.size()> names{};
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = members[i].name;
  return names;
}();

Result<std::string> text_of_member(const Member& member, const Json& value) {
  const std::string name(member.name);
  if (member.largest != no_integer && value.is_number()) {
    NH_LET(integer, integer_of(value, 0, member.largest, name));
    return std::to_string(integer);
  }
  NH_LET(text, string_of(value, name));
  // It would end a path or an address early.
  if (text.find('\0') != std::string::npos)
    return Error{.code = Code::invalid, .what = "must not have a NUL in it", .field = name};
  return text;
}

Result<RuleSpec> spec_of(const Json& value) {
  if (value.is_string()) return RuleSpec::parse(value.get_ref<const std::string&>());
  if (!value.is_object())
    return Error{.code = Code::invalid, .what = "must be a string or an object, not " + kind_of(value)};
  NH_TRY(check_members(value, member_names));
  RuleFields fields;
  for (const Member& member : members) {
    const auto given = value.find(std::string(member.name));
    if (given == value.end()) continue;
    NH_LET(text, text_of_member(member, *given));
    fields.*member.field = std::move(text);
  }
  return RuleSpec::make(fields);
}

/// An object that is put together without a search for each name and without copies: there may be a thousand in one reply.
class ObjectMaker {
 public:
  explicit ObjectMaker(std::size_t count) { members_.reserve(count); }
  void put(const char* name, Json value) { members_.emplace_back(name, std::move(value)); }
  /// A Unix socket's end has no address.
  void put_end(const char* address_name, const char* port_name, const Endpoint& end) {
    put(address_name, end.port == 0 ? Json(nullptr) : Json(end.address.text()));
    put(port_name, end.port == 0 ? Json(nullptr) : Json(end.port));
  }
  Json take() { return std::move(object_); }

 private:
  Json object_ = Json::object();
  Json::object_t& members_ = object_.get_ref<Json::object_t&>();
};

std::string proto_of(const RuleSpec& spec) {
  return spec.tcp && spec.udp ? "both" : spec.udp ? "udp" : "tcp";
}

Json json_of(const ListenerEntry& listener) {
  Json json{{"proto", std::string(transport_name(listener.transport))}};
  if (listener.host_path.empty()) {
    json["host_addr"] = listener.host.address.text();
    json["host_port"] = listener.host.port;
  } else {
    json["host_unix"] = listener.host_path;
  }
  json["guest_addr"] = listener.guest.address.text();
  json["guest_port"] = listener.guest.port;
  json["path"] = std::string(path_name(listener.path));
  if (!listener.reason.empty()) json["reason"] = listener.reason;
  json["paused"] = listener.paused;
  return json;
}

}  // namespace

Result<RuleSpec> rule_of(const Json& value, const std::string& where) {
  auto spec = spec_of(value);
  if (spec || where.empty()) return spec;
  Error error = std::move(spec).error();
  error.field = error.field.empty() ? where : where + "." + error.field;
  return error;
}

Result<std::vector<RuleSpec>> rules_of(const Json& value) {
  if (!value.is_array())
    return Error{.code = Code::invalid, .what = "must be an array, not " + kind_of(value), .field = "rules"};
  std::vector<RuleSpec> specs;
  specs.reserve(value.size());
  for (const Json& each : value) {
    NH_LET(spec, rule_of(each, "rules[" + std::to_string(specs.size()) + "]"));
    specs.push_back(std::move(spec));
  }
  return specs;
}

Json json_of(const RuleSpec& spec) {
  Json json{{"kind", std::string(kind_name(spec.kind))}, {"proto", proto_of(spec)}};
  if (spec.host_address) json["host_addr"] = spec.host_address->text();
  if (!spec.host_interface.empty()) json["host_interface"] = spec.host_interface;
  if (!spec.host_ports.empty()) json["host_port"] = ports_text(spec.host_ports);
  if (!spec.host_path.empty()) json["host_unix"] = spec.host_path;
  if (!spec.host_name.empty()) json["host_fd"] = spec.host_name;
  if (spec.guest_address) json["guest_addr"] = spec.guest_address->text();
  if (!spec.guest_ports.empty()) json["guest_port"] = ports_text(spec.guest_ports);
  if (!spec.excluded.empty()) json["exclude"] = ports_text(spec.excluded);
  return json;
}

Json json_of(const RuleEntry& rule) {
  Json listeners = Json::array();
  for (const ListenerEntry& listener : rule.listeners) listeners.push_back(json_of(listener));
  return Json{{"id", rule.id},
              {"text", rule.spec.text()},
              {"spec", json_of(rule.spec)},
              {"listeners", std::move(listeners)},
              {"flows", rule.counters.flows},
              {"flows_opened", rule.counters.flows_opened},
              {"flows_failed", rule.counters.flows_failed},
              {"bytes_to_guest", rule.counters.bytes_to_guest},
              {"bytes_to_host", rule.counters.bytes_to_host}};
}

Json json_of(const FlowRecord& flow, Instant now) {
  ObjectMaker json(18);
  json.put("id", flow.id);
  json.put("rule", flow.rule != 0 ? Json(flow.rule) : Json(nullptr));
  json.put("proto", std::string(transport_name(flow.transport)));
  json.put("path", std::string(path_name(flow.path)));
  json.put("direction", std::string(direction_name(flow.direction)));
  json.put("state", flow.open ? "open" : "connecting");
  json.put_end("peer_addr", "peer_port", flow.host_peer);
  json.put_end("host_addr", "host_port", flow.host_local);
  json.put_end("seen_addr", "seen_port", flow.guest_peer);
  json.put_end("guest_addr", "guest_port", flow.guest);
  json.put("age", seconds_of(now - flow.opened));
  json.put("bytes_to_guest", flow.bytes_to_guest);
  json.put("bytes_to_host", flow.bytes_to_host);
  return json.take();
}

Json seconds_of(Duration time) {
  return static_cast<double>(std::chrono::duration_cast<std::chrono::microseconds>(time).count()) / 1e6;
}

}  // namespace nh
