// SPDX-License-Identifier: BSD-3-Clause
// Terminal: standard output as a screen of our own for as long as this object lives: the alternate screen without a cursor, keys
// without echo and without waiting for a newline. Everything is as before when it is gone.
#pragma once

#include <termios.h>

#include <optional>
#include <string_view>

#include "tools/netns-ctl/top_view.h"

namespace nh::ctl {

/// What fits: $COLUMNS (and $LINES) if they are numbers, else the terminal's own size, else 0.
ScreenSize screen_size(int fd);

/// Writes all of it; false: the reader is gone.
bool write_all(int fd, std::string_view text);

class Terminal {
 public:
  Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() { leave(); }

  void enter();
  void leave();
  /// The size at present, not that of the environment, which a resize leaves behind.
  ScreenSize size() const;

 private:
  bool entered_ = false;
  std::optional<termios> before_;
};

}  // namespace nh::ctl
