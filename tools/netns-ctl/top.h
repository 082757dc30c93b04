// SPDX-License-Identifier: BSD-3-Clause
// netns-ctl top: asks the helper every interval and prints what top_view.h draws.
//
// On a terminal it uses the alternate screen, follows its size (SIGWINCH) and reads keys. The screen is restored at every exit
// (q, the last frame, an error, a signal, which then has its default effect) and while it is stopped. If standard output is no
// terminal, each frame is printed as text, from the second reply on, when rates are known.
#pragma once

#include "tools/netns-ctl/client.h"
#include "tools/netns-ctl/options.h"

namespace nh::ctl {

/// Returns the exit code; errors were printed on standard error.
int run_top(Client& client, const Options& options);

}  // namespace nh::ctl
