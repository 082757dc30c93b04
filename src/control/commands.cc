// SPDX-License-Identifier: BSD-3-Clause
#include "src/control/commands.h"

#include <array>

#include "src/base/limits.h"
#include "src/control/command_table.h"
#include "src/control/request.h"

namespace nh {
namespace {

constexpr std::array<std::string_view, 3> request_members{"execute", "arguments", "id"};

template <class Do>
void each_command(Do&& act) {
  for (const Command& command : hostfwd_commands()) act(command);
  for (const Command& command : native_commands()) act(command);
}

std::string command_names() {
  std::string names;
  each_command([&](const Command& command) { names += (names.empty() ? "" : ", ") + std::string(command.name); });
  return names;
}

const Command* find_command(const Json& request) {
  const auto execute = request.find("execute");
  if (execute == request.end() || !execute->is_string()) return nullptr;
  const Command* found = nullptr;
  each_command([&](const Command& command) {
    if (command.name == execute->get_ref<const std::string&>()) found = &command;
  });
  return found;
}

Refusal no_command(const Json& request) {
  const auto execute = request.find("execute");
  if (execute == request.end()) return {.words = "no execute found", .rule = "is missing", .field = "execute"};
  if (!execute->is_string()) return {.words = "no execute found", .rule = "must be a string", .field = "execute"};
  return {.words = "unknown execute",
          .rule = "there are only " + command_names() + ", not \"" + shown(execute->get_ref<const std::string&>()) + "\"",
          .field = "execute"};
}

/// Runs one request that is a JSON object; `command`: as find_command() gave it.
Outcome run(const CommandContext& context, const Command* command, const Json& request) {
  const bool native = context.dialect == Dialect::native;
  if (command == nullptr) return no_command(request);
  if (native) {
    if (auto known = check_members(request, request_members); !known)
      return Refusal{.words = "bad " + known.error().field, .rule = known.error().what, .field = known.error().field};
  }
  const auto given = request.find("arguments");
  static const Json none = Json::object();
  const bool usable = given != request.end() && given->is_object();
  if (native && given != request.end() && !usable)
    return Refusal{.words = "bad arguments", .rule = "must be an object", .field = "arguments"};
  const Json& arguments = usable ? *given : none;
  if (native) {
    if (auto known = check_members(arguments, command->members); !known)
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
  return Reply{.text = text_of(reply) + (voice.terse ? "" : "\n"), .last = voice.terse, .refused = refused};
}

Reply speak(const Voice& voice, const Refusal& refusal) {
  std::string desc = "bad request: " + refusal.words;
  if (voice.dialect == Dialect::slirp4netns) return speak(voice, Json{{"error", {{"desc", std::move(desc)}}}}, true);
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

Refusal bad_argument(std::string_view command, Error error) {
  return Refusal{.code = error.code,
                 .words = std::string(command) + ": bad arguments." + error.field,
                 .rule = std::move(error.what),
                 .field = std::move(error.field)};
}

Commands::Commands(Backend backend, Dialect dialect) : backend_(std::move(backend)), dialect_(dialect) {
  NH_BUG_IF(!backend_.info || !backend_.stats);
}

Reply Commands::answer(std::string_view text, bool lone) const {
  auto parsed = parse_checked(text);
  if (!parsed) {
    Error error = std::move(parsed).error();
    return speak_last(dialect_,
                      {.words = "cannot parse JSON", .rule = std::move(error.what), .field = std::move(error.field)});
  }
  const Json& request = *parsed;
  const auto id = request.find("id");
  const bool has_id = dialect_ == Dialect::native && id != request.end();
  const Command* command = find_command(request);
  const bool like_slirp4netns = lone && !has_id && command != nullptr && command->of_slirp4netns;
  const Voice voice{
      .dialect = dialect_, .terse = dialect_ == Dialect::slirp4netns || like_slirp4netns, .id = has_id ? &*id : nullptr};

  Outcome outcome = run(CommandContext{backend_, dialect_}, command, request);
  if (const auto* refusal = std::get_if<Refusal>(&outcome)) return speak(voice, *refusal);
  Return result = std::get<Return>(std::move(outcome));
  Json answer{{"return", std::move(result.value)}};
  // slirp4netns(1) documents return.entries, slirp4netns answers with entries: whoever comes as its
  // client gets both.
  if (!has_id && command->name == "list_hostfwd") answer["entries"] = answer["return"]["entries"];
  Reply reply = speak(voice, std::move(answer), false);
  reply.subscribe = result.subscribe;
  return reply;
}

Reply Commands::not_an_object(std::string_view bytes) const {
  // slirp4netns looks at the size of what it has read before it looks at the bytes.
  if (dialect_ == Dialect::slirp4netns && bytes.size() > max_request()) return too_large();
  if (auto parsed = parse_checked(bytes))
    return speak_last(dialect_, {.words = "json_object() failed", .rule = "a request must be a JSON object"});
  return speak_last(dialect_, {.words = "cannot parse JSON", .rule = "a request must begin with '{'"});
}

Reply Commands::too_large() const {
  return speak_last(dialect_, {.code = Code::exhausted,
                               .words = "too large message",
                               .rule = "at most " + std::to_string(max_request()) + " bytes"});
}

Reply Commands::unfinished(bool timed_out) const {
  if (!timed_out)
    return speak_last(dialect_, {.words = "cannot parse JSON", .rule = "the request ends before its object does"});
  return speak_last(dialect_, {.code = Code::timeout,
                               .words = "cannot parse JSON",
                               .rule = "the request was not complete within " +
                                       std::to_string(limits::control_request_time.count()) + " s"});
}

std::optional<Reply> Commands::no_request() const {
  if (dialect_ == Dialect::native) return std::nullopt;
  return unfinished(false);
}

std::size_t Commands::max_request() const {
  return dialect_ == Dialect::native ? limits::control_request : limits::control_request_slirp4netns;
}

}  // namespace nh
