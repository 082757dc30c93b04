// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-ctl/find_helper.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <sstream>

#include "src/base/number.h"
#include "tools/netns-ctl/reply.h"

namespace nh::ctl {
namespace {

constexpr std::size_t longest_command_line = 128 * 1024;  // bytes that are read

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const auto end = text.find('\0');
    words.push_back(text.substr(0, end));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return words;
}

std::string command_line_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/cmdline", std::ios::binary);
  std::string text(longest_command_line, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

std::vector<pid_t> processes(bool everybody) {
  struct Close {
    void operator()(DIR* directory) const { closedir(directory); }
  };
  const std::unique_ptr<DIR, Close> directory(opendir("/proc"));
  std::vector<pid_t> pids;
  while (const dirent* entry = directory ? readdir(directory.get()) : nullptr) {
    const auto pid = parse_unsigned(entry->d_name, 1, INT32_MAX, "pid");
    struct stat status {};
    // The directory itself has the process's uid even where the process is not dumpable (proc(5)).
    if (!pid || fstatat(dirfd(directory.get()), entry->d_name, &status, 0) != 0) continue;
    if (status.st_uid == geteuid() || (everybody && geteuid() == 0)) pids.push_back(static_cast<pid_t>(*pid));
  }
  std::sort(pids.begin(), pids.end());
  return pids;
}

/// The target as in `info`; empty: no answer.
std::string ask_target(Client& client) {
  const auto line = client.ask(R"({"execute":"info"})");
  if (!line) return "";
  const auto reply = parse_reply(*line);
  if (!reply || reply->refused()) return "";
  return text_at(reply->value, "/target/kind") + " " + text_at(reply->value, "/target/text");
}

std::string listed(const std::vector<FoundHelper>& helpers) {
  std::string text;
  for (const FoundHelper& helper : helpers)
    text += "\n  pid " + std::to_string(helper.pid) + "  target " + helper.target + "  socket " + helper.socket;
  return text;
}

bool is_meant(const FoundHelper& helper, std::int64_t pid) {
  return helper.pid == pid || helper.target == "pid " + std::to_string(pid);
}

}  // namespace

std::optional<std::string> socket_of_command_line(std::string_view text) {
  const auto words = words_of(text);
  if (words.empty()) return std::nullopt;
  const std::string_view program = words[0].substr(words[0].rfind('/') + 1);
  if (program != "netns-helper" && program != "slirp4netns") return std::nullopt;
  const bool like_slirp4netns = program == "slirp4netns" || (words.size() > 1 && words[1] == "slirp4netns");
  std::optional<std::string> socket;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const std::string_view word = words[i];
    constexpr std::string_view option = "--api-socket";
    if (word == "--") break;
    if (word == option || (like_slirp4netns && word == "-a")) {
      if (i + 1 < words.size()) socket = std::string(words[++i]);
    } else if (word.starts_with(option) && word.substr(option.size()).starts_with('=')) {
      socket = std::string(word.substr(option.size() + 1));
    } else if (like_slirp4netns && word.starts_with("-a") && word.size() > 2) {
      socket = std::string(word.substr(2));
    }
  }
  return socket;
}

Search find_helpers(bool everybody) {
  Search search;
  for (const pid_t pid : processes(everybody)) {
    const auto socket = socket_of_command_line(command_line_of(pid));
    if (!socket || socket->empty()) continue;
    const std::string name = *socket + " of pid " + std::to_string(pid);
    if (socket->front() != '/') {
      search.failed.push_back(name + ": relative to a directory that is not known; name it with --socket");
      continue;
    }
    auto client = Client::connect(*socket);
    if (!client) {
      search.failed.push_back(name + ": " + client.error().message());
      continue;
    }
    if (client->peer() != pid) continue;  // its agent, or another process that now listens at this path
    const std::string target = ask_target(*client);
    if (target.empty())
      search.failed.push_back(name + ": does not answer");
    else
      search.helpers.push_back({pid, *socket, target});
  }
  return search;
}

Result<Client> reach_helper(const std::string& socket, std::optional<std::int64_t> pid) {
  if (!socket.empty()) return Client::connect(socket);
  Search search = find_helpers(pid.has_value());
  if (pid) std::erase_if(search.helpers, [&](const FoundHelper& helper) { return !is_meant(helper, *pid); });
  if (search.helpers.size() == 1) return Client::connect(search.helpers.front().socket);
  if (search.helpers.size() > 1)
    return Error{.code = Code::in_use,
                 .what = "several helpers are running, name one with --socket or --pid:" + listed(search.helpers)};
  std::string tried;
  for (const std::string& each : search.failed) tried += "\n  tried " + each;
  return Error{.code = Code::missing,
               .what = (pid ? "no helper with a control socket is or serves process " + std::to_string(*pid)
                            : std::string("no helper with a control socket is running as this user")) +
                       tried};
}

}  // namespace nh::ctl
