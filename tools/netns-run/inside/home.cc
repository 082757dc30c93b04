// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/inside/home.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "src/base/unique_fd.h"

namespace nh::run {
namespace {

constexpr std::size_t passwd_bytes = 1 << 20;  // what is beyond is not read

std::string read_text(const char* path) {
  const UniqueFd file(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  std::string text;
  std::array<char, 4096> block{};
  while (file && text.size() < passwd_bytes) {
    const ssize_t got = read(file.get(), block.data(), block.size());
    if (got <= 0) break;
    text.append(block.data(), static_cast<std::size_t>(got));
  }
  return text;
}

}  // namespace

std::string home_in(std::string_view passwd, uid_t uid) {
  const std::string wanted = std::to_string(uid);
  while (!passwd.empty()) {
    std::string_view line = passwd.substr(0, passwd.find('\n'));
    passwd.remove_prefix(std::min(passwd.size(), line.size() + 1));
    // name:password:uid:gid:comment:home:shell
    std::array<std::string_view, 7> fields;
    for (std::string_view& field : fields) {
      field = line.substr(0, line.find(':'));
      line.remove_prefix(std::min(line.size(), field.size() + 1));
    }
    if (fields[2] == wanted && !fields[5].empty()) return std::string(fields[5]);
  }
  return "/";
}

void set_home(ProcessPlan& process) {
  const bool given = std::any_of(process.set_environment.begin(), process.set_environment.end(),
                                 [](const auto& entry) { return entry.first == "HOME"; });
  if (!given) process.set_environment.emplace_back("HOME", home_in(read_text("/etc/passwd"), process.uid));
}

}  // namespace nh::run
