// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-ctl/table.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "src/base/result.h"

namespace nh::ctl {
namespace {

constexpr std::size_t gap = 2;

std::size_t total(const std::vector<std::size_t>& widths) {
  std::size_t sum = 0, shown = 0;
  for (const std::size_t width : widths) {
    sum += width;
    shown += width > 0 ? 1 : 0;
  }
  return sum + (shown > 0 ? gap * (shown - 1) : 0);
}

std::string padded(std::string text, std::size_t width, bool right) {
  const std::string space(width > text.size() ? width - text.size() : 0, ' ');
  return right ? space + text : text + space;
}

std::string formatted(const char* format, double value) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

}  // namespace

void Table::add(std::vector<std::string> cells) {
  NH_BUG_IF(cells.size() != columns_.size());
  for (std::string& cell : cells) cell = plain(cell);
  rows_.push_back(std::move(cells));
}

/// 0 for a column that is not shown; what is shown is at least 1 wide.
std::vector<std::size_t> Table::widths(const std::vector<bool>& shown) const {
  std::vector<std::size_t> widths(columns_.size(), 0);
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (!shown[i]) continue;
    widths[i] = std::max<std::size_t>(columns_[i].heading.size(), 1);
    for (const auto& row : rows_) widths[i] = std::max(widths[i], row[i].size());
  }
  return widths;
}

std::vector<std::string> Table::lines(std::size_t width) const {
  std::vector<bool> shown(columns_.size(), true);
  auto sizes = widths(shown);
  while (width > 0 && total(sizes) > width) {
    std::size_t last = columns_.size();
    for (std::size_t i = 0; i < columns_.size(); ++i)
      if (shown[i] && columns_[i].leaves > 0 && (last == columns_.size() || columns_[i].leaves > columns_[last].leaves))
        last = i;
    if (last == columns_.size()) break;
    shown[last] = false;
    sizes = widths(shown);
  }
  // Still too wide: cuts the widest columns, down to the width of their headings.
  while (width > 0 && total(sizes) > width) {
    std::size_t widest = columns_.size();
    for (std::size_t i = 0; i < columns_.size(); ++i)
      if (!columns_[i].number && sizes[i] > std::max<std::size_t>(columns_[i].heading.size(), 4) &&
          (widest == columns_.size() || sizes[i] > sizes[widest]))
        widest = i;
    if (widest == columns_.size()) break;
    --sizes[widest];
  }

  std::vector<std::string> lines;
  const auto put = [&](const auto& text_of) {
    std::string line;
    bool first = true;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (!shown[i]) continue;
      if (!first) line += std::string(gap, ' ');
      first = false;
      line += padded(cut(text_of(i), sizes[i]), sizes[i], columns_[i].number);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    lines.push_back(width > 0 ? cut(line, width) : line);
  };
  put([&](std::size_t i) { return columns_[i].heading; });
  for (const auto& row : rows_) put([&](std::size_t i) { return row[i]; });
  return lines;
}

std::string Table::text(std::size_t width) const {
  std::string text;
  for (const std::string& line : lines(width)) text += line + "\n";
  return text;
}

std::string plain(std::string_view text) {
  std::string clean(text);
  for (char& c : clean)
    if (c < ' ' || c > '~') c = '?';
  return clean;
}

std::string cut(std::string text, std::size_t width) {
  if (text.size() <= width) return text;
  text.resize(width);
  if (width > 4) text.replace(width - 2, 2, "..");
  return text;
}

std::string human_bytes(double bytes) {
  constexpr std::array<const char*, 6> units{"", "K", "M", "G", "T", "P"};
  std::size_t unit = 0;
  // 999.95 K would be printed as 1000.0K.
  while (bytes >= (unit == 0 ? 999.5 : 999.95) && unit + 1 < units.size()) {
    bytes /= 1024;
    ++unit;
  }
  return formatted(unit == 0 ? "%.0f" : "%.1f", bytes) + units[unit];
}

std::string human_rate(double bytes_per_second) {
  return human_bytes(bytes_per_second) + "/s";
}

std::string human_age(double seconds) {
  const auto whole = static_cast<std::uint64_t>(std::max(seconds, 0.0));
  const auto two = [](std::uint64_t large, const char* name, std::uint64_t small, const char* small_name) {
    return std::to_string(large) + name + (small < 10 ? "0" : "") + std::to_string(small) + small_name;
  };
  if (whole < 60) return std::to_string(whole) + "s";
  if (whole < 3600) return two(whole / 60, "m", whole % 60, "s");
  if (whole < 86400) return two(whole / 3600, "h", whole / 60 % 60, "m");
  return two(whole / 86400, "d", whole / 3600 % 24, "h");
}

std::string endpoint_text(const std::string& address, const std::string& port) {
  if (address.empty()) return "unix";
  return (address.find(':') == address.npos ? address : "[" + address + "]") + ":" + port;
}

std::string ports_text(std::vector<std::uint64_t> ports) {
  std::sort(ports.begin(), ports.end());
  std::string text;
  for (std::size_t i = 0; i < ports.size();) {
    std::size_t end = i + 1;
    while (end < ports.size() && ports[end] <= ports[end - 1] + 1) ++end;
    text += (text.empty() ? "" : ",") + std::to_string(ports[i]);
    if (ports[end - 1] != ports[i]) text += "-" + std::to_string(ports[end - 1]);
    i = end;
  }
  return text;
}

}  // namespace nh::ctl
