// SPDX-License-Identifier: BSD-3-Clause
// The commands of netns-ctl but `top`: a request, its reply, and what is printed of it.
#pragma once

#include "tools/netns-ctl/client.h"
#include "tools/netns-ctl/options.h"

namespace nh::ctl {

/// Gives the exit code; errors have been told on standard error.
int run_verb(Client& client, const Options& options);

/// The rules of a file: a JSON array of them, a reply of forward.list (what `netns-ctl --json forward list` prints), or one rule a
/// line, where empty lines and what begins with # are left out. Gives the JSON text of an array.
Result<std::string> rules_of_text(const std::string& text);

}  // namespace nh::ctl
