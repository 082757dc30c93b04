// SPDX-License-Identifier: BSD-3-Clause
// The commands of netns-ctl except `top`: send a request and print its reply.
#pragma once

#include "tools/netns-ctl/client.h"
#include "tools/netns-ctl/options.h"

namespace nh::ctl {

/// Returns the exit code; errors were printed on standard error.
int run_verb(Client& client, const Options& options);

/// The rules of a file as the JSON text of an array. The file is a JSON array of rules, a reply of forward.list (as printed by
/// `netns-ctl --json forward list`), or text with one rule a line, where empty lines and lines that begin with # are ignored.
Result<std::string> rules_of_text(const std::string& text);

}  // namespace nh::ctl
