// SPDX-License-Identifier: BSD-3-Clause
// slirp4netns's three commands, in its shapes, over our rules.
#include <array>

#include "src/base/log.h"
#include "src/control/command_table.h"
#include "src/control/request.h"

namespace nh {
namespace {

Outcome add_hostfwd(const CommandContext& context, const Json& arguments) {
  const auto spec = parse_hostfwd(arguments, context.dialect);
  if (!spec) return bad_argument("add_hostfwd", spec.error());
  auto added = context.backend.rules.add({*spec});
  if (!added) {
    const Error& error = added.error();
    // slirp4netns's words have no room for the reason; whoever reads the log shall find it.
    if (context.dialect == Dialect::slirp4netns)
      log::rate_limited(log::Level::warning, "add_hostfwd", "add_hostfwd: " + error.message());
    const bool port = error.field.empty() && (error.code == Code::in_use || error.code == Code::privileged);
    return Refusal{.code = error.code,
                   .words = "add_hostfwd: slirp_add_hostfwd failed",
                   .rule = error.message(),
                   .field = port ? "host_port" : error.field};
  }
  NH_BUG_IF(added->size() != 1);
  const RuleEntry& rule = added->front();
  Json result{{"id", rule.id}};
  if (spec->host_ports.front().first == 0 && !rule.listeners.empty()) result["host_port"] = rule.listeners.front().host.port;
  return Return{std::move(result)};
}

Outcome remove_hostfwd(const CommandContext& context, const Json& arguments) {
  const auto id = parse_id(arguments, "id");
  if (!id) return bad_argument("remove_hostfwd", id.error());
  const auto removed = context.backend.rules.remove({*id});
  if (removed) return Return{};
  return Refusal{.code = removed.error().code,
                 .words = "remove_hostfwd: bad arguments.id",
                 .rule = removed.error().message(),
                 .field = "id"};
}

/// What this shape can tell: one entry for each port of the host that leads into the guest.
Outcome list_hostfwd(const CommandContext& context, const Json&) {
  Json entries = Json::array();
  for (const RuleEntry& rule : context.backend.rules.list()) {
    if (rule.spec.kind == RuleSpec::Kind::reverse) continue;
    for (const ListenerEntry& listener : rule.listeners) {
      if (!listener.host_path.empty()) continue;
      entries.push_back(Json{{"id", rule.id},
                             {"proto", std::string(transport_name(listener.transport))},
                             {"host_addr", listener.host.address.text()},
                             {"host_port", listener.host.port},
                             {"guest_addr", listener.guest.address.text()},
                             {"guest_port", listener.guest.port}});
    }
  }
  return Return{Json{{"entries", std::move(entries)}}};
}

constexpr std::array<std::string_view, 5> forward_members{"proto", "host_addr", "host_port", "guest_addr", "guest_port"};
constexpr std::array<std::string_view, 1> hostfwd_id{"id"};

constexpr std::array<Command, 3> all_hostfwd_commands{{
    {"add_hostfwd", forward_members, add_hostfwd, true},
    {"list_hostfwd", {}, list_hostfwd, true},
    {"remove_hostfwd", hostfwd_id, remove_hostfwd, true},
}};

}  // namespace

std::span<const Command> hostfwd_commands() {
  return all_hostfwd_commands;
}

}  // namespace nh
