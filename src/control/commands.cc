// SPDX-License-Identifier: BSD-3-Clause
#include "src/control/commands.h"

#include <array>
#include <span>
#include <variant>

#include "src/base/limits.h"
#include "src/base/log.h"
#include "src/control/info_json.h"
#include "src/control/request.h"

namespace nh {
namespace {

/// Why a request is refused. `words` are slirp4netns's (without "bad request: "), `rule` is what we
/// have to add.
struct Refusal {
  Code code = Code::invalid;
  std::string words;
  std::string rule = {};
  std::string field = {};
};

/// Either the value of "return" or a refusal.
using Outcome = std::variant<Json, Refusal>;

struct Context {
  ForwardRules& rules;
  const std::function<HelperInfo()>& info;
  Dialect dialect;
};

Refusal bad_argument(std::string_view command, Error error) {
  return Refusal{.code = error.code,
                 .words = std::string(command) + ": bad arguments." + error.field,
                 .rule = std::move(error.what),
                 .field = std::move(error.field)};
}

Outcome add_hostfwd(const Context& context, const Json& arguments) {
  auto spec = parse_forward(arguments, context.dialect);
  if (!spec) return bad_argument("add_hostfwd", spec.error());
  auto entry = context.rules.add(*spec);
  if (!entry) {
    const Error& error = entry.error();
    // slirp4netns's words have no room for the reason; whoever reads the log shall find it.
    if (context.dialect == Dialect::slirp4netns)
      log::rate_limited(log::Level::warning, "add_hostfwd", "add_hostfwd: " + error.message());
    const bool port =
        error.field.empty() && (error.code == Code::in_use || error.code == Code::privileged);
    return Refusal{.code = error.code,
                   .words = "add_hostfwd: slirp_add_hostfwd failed",
                   .rule = error.message(),
                   .field = port ? "host_port" : wire_name(error.field)};
  }
  Json result{{"id", entry->id}};
  if (spec->host_port == 0) result["host_port"] = entry->bound.port;
  return result;
}

Outcome remove_hostfwd(const Context& context, const Json& arguments) {
  const auto id = parse_forward_id(arguments);
  if (!id) return bad_argument("remove_hostfwd", id.error());
  if (context.rules.remove(*id)) return Json::object();
  return Refusal{.code = Code::missing,
                 .words = "remove_hostfwd: bad arguments.id",
                 .rule = "there is no forward " + std::to_string(*id),
                 .field = "id"};
}

Outcome list_hostfwd(const Context& context, const Json&) {
  Json entries = Json::array();
  for (const ForwardEntry& entry : context.rules.list()) {
    entries.push_back(Json{{"id", entry.id},
                           {"proto", std::string(transport_name(entry.spec.transport))},
                           {"host_addr", entry.bound.address.text()},
                           {"host_port", entry.bound.port},
                           {"guest_addr", entry.guest.text()},
                           {"guest_port", entry.spec.guest_port.value()}});
  }
  return Json{{"entries", std::move(entries)}};
}

Outcome info(const Context& context, const Json&) {
  return json_of(context.info());
}

struct Command {
  std::string_view name;
  std::span<const std::string_view> arguments;
  Outcome (*run)(const Context&, const Json& arguments);
  bool of_slirp4netns;
};

constexpr std::array<std::string_view, 5> forward_members{"proto", "host_addr", "host_port",
                                                          "guest_addr", "guest_port"};
constexpr std::array<std::string_view, 1> id_member{"id"};
constexpr std::array<std::string_view, 3> request_members{"execute", "arguments", "id"};

constexpr std::array<Command, 4> commands{{
    {"add_hostfwd", forward_members, add_hostfwd, true},
    {"list_hostfwd", {}, list_hostfwd, true},
    {"remove_hostfwd", id_member, remove_hostfwd, true},
    {"info", {}, info, false},
}};

std::string command_names() {
  std::string names;
  for (const Command& command : commands)
    names += (names.empty() ? "" : ", ") + std::string(command.name);
  return names;
}

const Command* find_command(const Json& request) {
  const auto execute = request.find("execute");
  if (execute == request.end() || !execute->is_string()) return nullptr;
  for (const Command& command : commands)
    if (command.name == execute->get_ref<const std::string&>()) return &command;
  return nullptr;
}

Refusal no_command(const Json& request) {
  const auto execute = request.find("execute");
  if (execute == request.end())
    return {.words = "no execute found", .rule = "is missing", .field = "execute"};
  if (!execute->is_string())
    return {.words = "no execute found", .rule = "must be a string", .field = "execute"};
  return {.words = "unknown execute",
          .rule = "there are only " + command_names() + ", not \"" +
                  shown(execute->get_ref<const std::string&>()) + "\"",
          .field = "execute"};
}

/// Runs one request that is a JSON object.
Outcome run(const Context& context, const Json& request) {
  const bool native = context.dialect == Dialect::native;
  const Command* command = find_command(request);
  if (command == nullptr) return no_command(request);
  if (native) {
    if (auto known = check_members(request, request_members); !known)
      return Refusal{.words = "bad " + known.error().field,
                     .rule = known.error().what,
                     .field = known.error().field};
  }
  const auto given = request.find("arguments");
  static const Json none = Json::object();
  const bool usable = given != request.end() && given->is_object();
  if (native && given != request.end() && !usable)
    return Refusal{.words = "bad arguments", .rule = "must be an object", .field = "arguments"};
  const Json& arguments = usable ? *given : none;
  if (native) {
    if (auto known = check_members(arguments, command->arguments); !known)
      return bad_argument(command->name, std::move(known).error());
  }
  return command->run(context, arguments);
}

/// How a reply is put into words.
struct Voice {
  Dialect dialect;
  bool terse;                ///< in slirp4netns's shape: no newline, the last word
  const Json* id = nullptr;  ///< of the request
};

Reply speak(const Voice& voice, Json reply, bool refused) {
  if (voice.id != nullptr) reply["id"] = *voice.id;
  return Reply{
      .text = text_of(reply) + (voice.terse ? "" : "\n"), .last = voice.terse, .refused = refused};
}

Reply speak(const Voice& voice, const Refusal& refusal) {
  std::string desc = "bad request: " + refusal.words;
  if (voice.dialect == Dialect::slirp4netns)
    return speak(voice, Json{{"error", {{"desc", std::move(desc)}}}}, true);
  if (!refusal.rule.empty()) desc += ": " + refusal.rule;
  Json error = voice.terse ? Json{{"desc", desc}, {"code", std::string(code_name(refusal.code))}}
                           : Json{{"code", std::string(code_name(refusal.code))}, {"desc", desc}};
  if (!refusal.field.empty()) error["field"] = refusal.field;
  return speak(voice, Json{{"error", std::move(error)}}, true);
}

/// Of requests that cannot even be read: the connection ends.
Reply speak_last(Dialect dialect, const Refusal& refusal) {
  Reply reply = speak(Voice{.dialect = dialect, .terse = dialect == Dialect::slirp4netns}, refusal);
  reply.last = true;
  return reply;
}

}  // namespace

Commands::Commands(ForwardRules& rules, std::function<HelperInfo()> info, Dialect dialect)
    : rules_(rules), info_(std::move(info)), dialect_(dialect) {
  NH_BUG_IF(!info_);
}

Reply Commands::answer(std::string_view text, bool lone) const {
  auto parsed = parse_checked(text);
  if (!parsed) {
    Error error = std::move(parsed).error();
    return speak_last(dialect_, {.words = "cannot parse JSON",
                                 .rule = std::move(error.what),
                                 .field = std::move(error.field)});
  }
  const Json& request = *parsed;
  const auto id = request.find("id");
  const bool has_id = dialect_ == Dialect::native && id != request.end();
  const Command* command = find_command(request);
  const bool like_slirp4netns = lone && !has_id && command != nullptr && command->of_slirp4netns;
  const Voice voice{.dialect = dialect_,
                    .terse = dialect_ == Dialect::slirp4netns || like_slirp4netns,
                    .id = has_id ? &*id : nullptr};

  Outcome outcome = run(Context{rules_, info_, dialect_}, request);
  if (const auto* refusal = std::get_if<Refusal>(&outcome)) return speak(voice, *refusal);
  Json reply{{"return", std::get<Json>(std::move(outcome))}};
  // slirp4netns(1) documents return.entries, slirp4netns answers with entries: whoever comes as its
  // client gets both.
  if (!has_id && command->run == list_hostfwd) reply["entries"] = reply["return"]["entries"];
  return speak(voice, std::move(reply), false);
}

Reply Commands::not_an_object(std::string_view bytes) const {
  // slirp4netns looks at the size of what it has read before it looks at the bytes.
  if (dialect_ == Dialect::slirp4netns && bytes.size() > max_request()) return too_large();
  if (auto parsed = parse_checked(bytes))
    return speak_last(dialect_,
                      {.words = "json_object() failed", .rule = "a request must be a JSON object"});
  return speak_last(dialect_,
                    {.words = "cannot parse JSON", .rule = "a request must begin with '{'"});
}

Reply Commands::too_large() const {
  return speak_last(dialect_, {.code = Code::exhausted,
                               .words = "too large message",
                               .rule = "at most " + std::to_string(max_request()) + " bytes"});
}

Reply Commands::unfinished(bool timed_out) const {
  if (!timed_out)
    return speak_last(dialect_, {.words = "cannot parse JSON",
                                 .rule = "the request ends before its object does"});
  return speak_last(dialect_,
                    {.code = Code::timeout,
                     .words = "cannot parse JSON",
                     .rule = "the request was not complete within " +
                             std::to_string(limits::control_request_time.count()) + " s"});
}

std::optional<Reply> Commands::no_request() const {
  if (dialect_ == Dialect::native) return std::nullopt;
  return unfinished(false);
}

std::size_t Commands::max_request() const {
  return dialect_ == Dialect::native ? limits::control_request
                                     : limits::control_request_slirp4netns;
}

}  // namespace nh
