// SPDX-License-Identifier: BSD-3-Clause
// Log: lines on standard error, as text or as JSON lines.
//
// Theory of operation. One writer a process, set up once from the options. A line is one write(2) of at most limits::log_line
// bytes, done only if poll(2) says that it will not block. While nobody reads, lines are lost, and nothing waits for the reader;
// they are counted, and the next line that can be written comes after one with their number. Messages that the guest or a peer
// can cause go through rate_limited(): one for each key in limits::log_window is written, the others are counted.
//
// All calls are of the main thread.
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
  std::string_view program = "netns-helper";  ///< the first word of each line; must outlive the last call
};
void set_up(const Setup& setup);

void error(std::string_view message);
void warning(std::string_view message);
void info(std::string_view message);
void debug(std::string_view message);
/// A line without program and level, for a text whose form another program's users rely on. Written at level info; as JSON lines it
/// is an ordinary message.
void plain(std::string_view message);
bool enabled(Level level);

/// One line for each `key`, a string literal, in limits::log_window. The next one says how many were not written in between.
void rate_limited(Level level, std::string_view key, std::string_view message);

/// Lines that were lost because nobody read.
std::uint64_t lost_lines();

}  // namespace nh::log
