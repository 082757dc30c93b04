// SPDX-License-Identifier: BSD-3-Clause
#include "src/base/log.h"

#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <map>

#include "src/base/limits.h"

namespace nh::log {
namespace {

struct Window {
  std::chrono::steady_clock::time_point start{};
  std::uint64_t suppressed = 0;
};

struct State {
  Setup setup;
  std::uint64_t lost = 0;
  std::uint64_t lost_reported = 0;
  std::map<std::string_view, Window> windows;
};

State& state() {
  static State instance;
  return instance;
}

std::string_view level_name(Level level) {
  switch (level) {
    case Level::error:
      return "error";
    case Level::warning:
      return "warning";
    case Level::info:
      return "info";
    case Level::debug:
      return "debug";
  }
  return "error";
}

void append_json_string(std::string& out, std::string_view text) {
  constexpr char hex[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte >= 0x7f) {
      // Names from file systems and peers need not be UTF-8, so each byte is written as the code point of its value.
      out += "\\u00";
      out += hex[byte >> 4];
      out += hex[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

std::string format(Level level, std::string_view message) {
  const State& s = state();
  std::string line;
  if (!s.setup.json) {
    line.append(s.setup.program).append(": ");
    if (level != Level::info) line.append(level_name(level)).append(": ");
    for (const char c : message) line += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    if (line.size() >= limits::log_line) line.resize(limits::log_line - 1);
    return line + "\n";
  }
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  char stamp[40];
  const std::size_t used = std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(stamp + used, sizeof stamp - used, ".%03ldZ", now.tv_nsec / 1000000);
  line.append("{\"time\":\"").append(stamp).append("\",\"level\":\"").append(level_name(level)).append("\",\"message\":");
  // A byte takes at most six in JSON. The message is cut so that the object stays whole.
  append_json_string(line, message.substr(0, (limits::log_line - line.size() - 8) / 6));
  return line + "}\n";
}

bool put(const std::string& line) {
  pollfd ready{.fd = state().setup.fd, .events = POLLOUT, .revents = 0};
  if (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0) return false;
  return ::write(ready.fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
}

void write_line(const std::string& line) {
  State& s = state();
  if (s.lost != s.lost_reported) {
    const std::uint64_t count = s.lost - s.lost_reported;
    if (put(format(Level::warning, std::to_string(count) + " log lines were lost: standard error was not read")))
      s.lost_reported = s.lost;
  }
  if (!put(line)) ++s.lost;
}

void emit(Level level, std::string_view message) {
  if (level <= state().setup.level) write_line(format(level, message));
}

}  // namespace

Result<Level> parse_level(std::string_view text) {
  for (const Level level : {Level::error, Level::warning, Level::info, Level::debug})
    if (text == level_name(level)) return level;
  return Error{.code = Code::invalid,
               .what = "log level must be error, warning, info or debug, not \"" + std::string(text) + "\"",
               .field = "log-level"};
}

void set_up(const Setup& setup) {
  state().setup = setup;
}
void plain(std::string_view message) {
  if (state().setup.json) return info(message);
  if (enabled(Level::info)) write_line(std::string(message) + "\n");
}
bool enabled(Level level) {
  return level <= state().setup.level;
}
void error(std::string_view message) {
  emit(Level::error, message);
}
void warning(std::string_view message) {
  emit(Level::warning, message);
}
void info(std::string_view message) {
  emit(Level::info, message);
}
void debug(std::string_view message) {
  emit(Level::debug, message);
}

void rate_limited(Level level, std::string_view key, std::string_view message) {
  if (!enabled(level)) return;
  const auto now = std::chrono::steady_clock::now();
  Window& window = state().windows[key];
  if (window.start != std::chrono::steady_clock::time_point{} && now - window.start < limits::log_window) {
    ++window.suppressed;
    return;
  }
  std::string text(message);
  if (window.suppressed > 0) text += " (" + std::to_string(window.suppressed) + " more like it were not logged)";
  window = {.start = now, .suppressed = 0};
  emit(level, text);
}

std::uint64_t lost_lines() {
  return state().lost;
}

}  // namespace nh::log
