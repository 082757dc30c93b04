// SPDX-License-Identifier: BSD-3-Clause
// Terminal: while it exists, standard output is the alternate screen without a cursor, and keys are read without echo and without
// a newline. The destructor restores everything.
#pragma once

#include <termios.h>

#include <optional>
#include <string_view>

#include "tools/netns-ctl/top_view.h"

namespace nh::ctl {

/// $COLUMNS and $LINES if they are numbers, else the terminal's size, else 0.
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
  /// The terminal's present size. The environment's would be outdated after a resize.
  ScreenSize size() const;

 private:
  bool entered_ = false;
  std::optional<termios> before_;
};

}  // namespace nh::ctl
