// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/mountinfo.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "src/base/unique_fd.h"

namespace nh {
namespace {

/// The kernel writes space, tab, newline, backslash and '#' as \ooo (fs/proc_namespace.c).
std::string unescaped(std::string_view text) {
  const auto octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && octal(text[i + 1]) && octal(text[i + 2]) && octal(text[i + 3])) {
      plain += static_cast<char>(((text[i + 1] - '0') << 6) | ((text[i + 2] - '0') << 3) | (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const auto end = std::min(line.find(' '), line.size());
    if (end > 0) words.push_back(line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return words;
}

bool number(std::string_view word, int& value) {
  return std::from_chars(word.data(), word.data() + word.size(), value).ptr == word.data() + word.size();
}

/// "22 27 0:21 / /proc rw,relatime shared:5 - proc proc rw"
std::optional<MountInfo> parse_line(std::string_view line) {
  constexpr std::size_t first_tag = 6;
  const auto words = words_of(line);
  const auto dash =
      std::find(words.begin() + static_cast<std::ptrdiff_t>(std::min(first_tag, words.size())), words.end(), "-");
  MountInfo mount;
  if (words.end() - dash < 4 || !number(words[0], mount.id) || !number(words[1], mount.parent)) return std::nullopt;
  mount.root = unescaped(words[3]);
  mount.point = unescaped(words[4]);
  mount.options = words[5];
  mount.propagation.assign(words.begin() + first_tag, dash);
  mount.type = dash[1];
  mount.source = unescaped(dash[2]);
  mount.super_options = dash[3];
  return mount;
}

}  // namespace

bool MountInfo::is_shared() const {
  return std::any_of(propagation.begin(), propagation.end(),
                     [](const std::string& tag) { return tag.starts_with("shared:"); });
}

std::vector<MountInfo> parse_mountinfo(std::string_view text) {
  std::vector<MountInfo> mounts;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    if (auto mount = parse_line(text.substr(0, end))) mounts.push_back(std::move(*mount));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return mounts;
}

Result<std::vector<MountInfo>> read_mountinfo(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return sys_error("opening " + path);
  std::string text;
  std::array<char, 16384> part{};
  ssize_t size = 0;
  while ((size = read(file.get(), part.data(), part.size())) > 0) text.append(part.data(), static_cast<std::size_t>(size));
  if (size < 0) return sys_error("reading " + path);
  return parse_mountinfo(text);
}

}  // namespace nh
