// SPDX-License-Identifier: BSD-3-Clause
// The commands behind commands.h: what each one takes, does and gives. For the .cc files here only.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "src/control/commands.h"
#include "src/json/json_checked.h"

namespace nh {

/// Why a request is refused. `words` are slirp4netns's (without "bad request: "), `rule` is what we
/// have to add.
struct Refusal {
  Code code = Code::invalid;
  std::string words;
  std::string rule = {};
  std::string field = {};
};

/// The value of "return".
struct Return {
  Json value = Json::object();
  std::optional<EventKinds> subscribe = {};  ///< Reply::subscribe
};

using Outcome = std::variant<Return, Refusal>;

struct CommandContext {
  const Backend& backend;
  Dialect dialect;
};

struct Command {
  std::string_view name;
  std::span<const std::string_view> members;  ///< of its arguments
  Outcome (*run)(const CommandContext&, const Json& arguments);
  bool of_slirp4netns = false;
};

/// add_hostfwd, list_hostfwd, remove_hostfwd.
std::span<const Command> hostfwd_commands();
/// Everything else.
std::span<const Command> native_commands();

/// The refusal of an argument.
Refusal bad_argument(std::string_view command, Error error);

}  // namespace nh
