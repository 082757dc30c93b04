// SPDX-License-Identifier: BSD-3-Clause
#include "src/control/info_json.h"

namespace nh {
namespace {

Json json_of(const std::optional<HelperInfo::Net>& net) {
  if (!net) return nullptr;
  Json json{{"network", net->network}, {"gateway", net->gateway}, {"dns", nullptr}, {"guest", net->guest}};
  if (!net->dns.empty()) json["dns"] = net->dns;
  return json;
}

Json json_of(const HelperInfo::Numbers& numbers) {
  Json json = Json::object();
  for (const auto& [name, number] : numbers) {
    Json* place = &json;
    std::string_view rest = name;
    for (auto dot = rest.find('.'); dot != rest.npos && place->is_object(); dot = rest.find('.')) {
      Json& inner = (*place)[std::string(rest.substr(0, dot))];
      if (inner.is_null()) inner = Json::object();
      place = &inner;
      rest.remove_prefix(dot + 1);
    }
    // A name that is a number and a group at once is our bug: "a" beside "a.b".
    NH_BUG_IF(!place->is_object() || place->contains(std::string(rest)));
    (*place)[std::string(rest)] = number;
  }
  return json;
}

}  // namespace

Json json_of(const HelperInfo& info) {
  return Json{
      {"version", info.version},
      {"libslirp",
       {{"version", info.libslirp.version},
        {"config_version", info.libslirp.config_version},
        {"known_bad", Json(info.libslirp.known_bad)}}},
      {"pid", info.pid},
      {"agent_pid", info.agent_pid != 0 ? Json(info.agent_pid) : Json(nullptr)},
      {"target", {{"kind", info.target.kind}, {"text", info.target.text}}},
      {"tap", {{"name", info.tap.name}, {"mac", info.tap.mac}, {"mtu", info.tap.mtu}, {"offload", info.tap.offload}}},
      {"addresses", {{"ipv4", json_of(info.ipv4)}, {"ipv6", json_of(info.ipv6)}}},
      {"tap_addresses", Json(info.tap_addresses)},
      {"mtu", info.mtu},
      {"dns", {{"resolvers", Json(info.resolvers)}}},
      {"limits", json_of(info.limits)},
      {"counters", json_of(info.counters)},
      {"kernel_path",
       {{"wanted", info.kernel_path_wanted},
        {"ipv4", info.kernel_path.takes_outbound(Family::v4)},
        {"ipv6", info.kernel_path.takes_outbound(Family::v6)},
        {"reason", info.kernel_path.outbound_reason()}}},
      {"confinement",
       {{"sandbox", info.confinement.sandbox},
        {"seccomp", info.confinement.seccomp},
        {"notes", Json(info.confinement.notes)}}},
      {"notes", Json(info.notes)},
  };
}

}  // namespace nh
