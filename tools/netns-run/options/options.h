// SPDX-License-Identifier: BSD-3-Clause
// Options: the command line of netns-run as a Plan.
//
// Theory of operation. CLI11 collects texts (raw_options.h), grouped as --help shows them; plan_of() makes types of them,
// option by option, and then fills in what follows from several: the default namespaces, the ids inside, the mounts that a new
// root has by default. With --bundle the plan comes from config.json, and options add only what config.json has no member for.
#pragma once

#include <string>

#include "src/base/log.h"
#include "src/base/result.h"
#include "tools/netns-run/plan.h"

namespace nh::run {

struct CommandLine {
  enum class Action : std::uint8_t { run, print, doctor };
  Action action = Action::run;
  std::string text;   ///< print
  bool json = false;  ///< doctor
  Plan plan;          ///< run
  log::Level log_level = log::Level::warning;
};

/// Our own options end at "--" or at the first word that is neither an option nor an option's value; the command is the
/// rest. invalid, with the option as the field: the rule that the command line breaks. With --bundle also the errors of
/// read_bundle.
Result<CommandLine> parse_command_line(int argc, const char* const* argv);

}  // namespace nh::run
