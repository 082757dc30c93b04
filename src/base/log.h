// SPDX-License-Identifier: BSD-3-Clause
// Log: lines on standard error, as text or as JSON lines.
//
// Theory of operation. One process-wide writer, set up once from the options. A line is written by one write(2) of at
// most limits::log_line bytes, and only if poll(2) says that it will not block: a reader who has stopped reading costs
// lines, never a frame. Lost lines are counted, and the count is reported with the first line that goes through again.
// Messages that input can cause are rate-limited by a key (rate_limited): the first of a window is written, the rest
// are counted and told when the window ends.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "src/base/result.h"

namespace nh::log {

enum class Level : std::uint8_t { error, warning, info, debug };

/// "error", "warning", "info", "debug".
Result<Level> parse_level(std::string_view text);

struct Setup {
  Level level = Level::info;
  bool json = false;
  int fd = 2;                                 ///< not owned
  std::string_view program = "netns-helper";  ///< must outlive the process's logging
};
void set_up(const Setup& setup);

void error(std::string_view message);
void warning(std::string_view message);
void info(std::string_view message);
void debug(std::string_view message);
/// A line without program and level, for texts that somebody else has fixed; where lines are text and level info is wanted.
void plain(std::string_view message);
bool enabled(Level level);

/// At most one line a second for each `key` (a string literal); the number that was kept back is added to the next one.
void rate_limited(Level level, std::string_view key, std::string_view message);

/// Lines that could not be written because the reader did not read.
std::uint64_t lost_lines();

}  // namespace nh::log
