// SPDX-License-Identifier: BSD-3-Clause
// Options: the command line of netns-ctl, parsed.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/base/result.h"

namespace nh::ctl {

enum class Verb : std::uint8_t {
  forward_add,
  forward_remove,
  forward_replace,
  forward_list,
  flows,
  kill,
  stats,
  events,
  info,
  top
};

/// Exit codes of netns-ctl.
inline constexpr int exit_done = 0, exit_refused = 1, exit_usage = 2, exit_unreached = 3;

struct Options {
  Verb verb = Verb::info;
  std::string socket;               ///< empty: to be found
  std::optional<std::int64_t> pid;  ///< of the helper or of its guest
  bool json = false;
  std::vector<std::string> rules;     ///< forward add, forward replace
  std::string file;                   ///< forward replace; "-": standard input
  std::vector<std::uint64_t> ids;     ///< forward remove, kill
  std::optional<std::uint64_t> rule;  ///< flows
  std::vector<std::string> events;
  std::chrono::milliseconds interval{1000};  ///< top
  std::uint64_t frames = 0;                  ///< top; 0: without end
};

struct CommandLine {
  std::optional<std::string> print;  ///< --help, --version: nothing else is to be done
  Options options;
};

/// invalid: what is wrong with the command line.
Result<CommandLine> parse_command_line(int argc, const char* const* argv);

}  // namespace nh::ctl
