// SPDX-License-Identifier: BSD-3-Clause
// Draws the screen of `top`: (state, order, size) -> lines. Pure.
#pragma once

#include <string>
#include <vector>

#include "tools/netns-ctl/top_state.h"

namespace nh::ctl {

struct ScreenSize {
  std::size_t columns = 80, rows = 24;  ///< 0: any
};

/// At most size.rows lines of at most size.columns characters, printable ASCII.
std::vector<std::string> draw_top(const TopState& state, TopOrder order, ScreenSize size);

/// The output that draws these lines on a terminal. Nothing is erased before it is written, so that nothing flickers. No erasure
/// follows a line that fills its row, because the cursor is still on its last character.
std::string terminal_frame(const std::vector<std::string>& lines, ScreenSize size);

}  // namespace nh::ctl
