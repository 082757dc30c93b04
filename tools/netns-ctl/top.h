// SPDX-License-Identifier: BSD-3-Clause
// netns-ctl top: looks at the helper every interval and draws what top_view.h makes of it.
//
// On a terminal it takes the alternate screen, follows its size (SIGWINCH) and the keys, and gives everything back on every way out:
// q, the last frame, an error, a signal (which ends it as it would have without us), and for the time that it is stopped. Elsewhere
// each frame is text, from the second look on, when rates are known.
#pragma once

#include "tools/netns-ctl/client.h"
#include "tools/netns-ctl/options.h"

namespace nh::ctl {

/// Gives the exit code; errors have been told on standard error.
int run_top(Client& client, const Options& options);

}  // namespace nh::ctl
