// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/doctor/probe.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "src/base/unique_fd.h"
#include "src/linux/id_map_writer.h"

namespace nh::run {

namespace {

using namespace std::chrono_literals;

/// Between the parts of a finding on its way through the pipe.
constexpr char separator = '\x1f';

[[noreturn]] void report(int fd, const Finding& finding) {
  const std::string text =
      std::to_string(static_cast<int>(finding.state)) + separator + finding.detail + separator + finding.cure;
  _exit(write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : 1);
}

Finding parse(const std::string& text) {
  const auto first = text.find(separator), second = text.find(separator, first + 1);
  const int state = text[0] - '0';
  return {static_cast<CheckState>(state), text.substr(first + 1, second - first - 1), text.substr(second + 1)};
}

/// All that comes until the pipe's end; "" if that takes too long.
std::string read_all(int fd, std::chrono::milliseconds time) {
  const auto deadline = std::chrono::steady_clock::now() + time;
  std::string text;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd readable{.fd = fd, .events = POLLIN, .revents = 0};
    if (left <= 0ms) return {};
    const int ready = poll(&readable, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return {};
    std::array<char, 4096> part{};
    const ssize_t size = read(fd, part.data(), part.size());
    if (size <= 0) return text;
    text.append(part.data(), static_cast<std::size_t>(size));
  }
}

}  // namespace

Finding probe(const std::function<Finding()>& body, std::chrono::milliseconds time) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return refused(sys_error("making a pipe for a probe"), "close some descriptors");
  UniqueFd read_end(ends[0]), write_end(ends[1]);
  const pid_t child = fork();
  if (child < 0) return refused(sys_error("forking a probe"), "allow more processes (ulimit -u)");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    report(write_end.get(), body());
  }
  write_end.reset();
  const std::string text = read_all(read_end.get(), time);
  kill(child, SIGKILL);  // not reaped yet: the number is its own; one that has ended does not notice
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!text.empty()) return parse(text);
  return {CheckState::unavailable,
          "trying it gave no answer in time, or crashed (wait status " + std::to_string(status) + ")",
          "look for a seccomp filter that kills, or a kernel that hangs (dmesg)"};
}

Result<> enter_namespaces(int flags) {
  const std::string uid = std::to_string(geteuid()), gid = std::to_string(getegid());
  // A process that has become non-dumpable owns its /proc files no longer and could not write its maps.
  prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  if (unshare(CLONE_NEWUSER) != 0) return sys_error("unshare(CLONE_NEWUSER)");
  IdMapSystem& system = real_id_map_system();
  const std::array<std::pair<const char*, std::string>, 3> writes{{{"/proc/self/setgroups", "deny"},
                                                                   {"/proc/self/uid_map", "0 " + uid + " 1"},
                                                                   {"/proc/self/gid_map", "0 " + gid + " 1"}}};
  for (const auto& [path, text] : writes)
    if (const int err = system.write(path, text); err != 0) return sys_error(err, std::string("writing ") + path);
  if (flags != 0 && unshare(flags) != 0) return sys_error("unshare(2) inside a new user namespace");
  return Ok{};
}

Finding refused(const Error& error, std::string cure) {
  return {CheckState::unavailable, error.message(), std::move(cure)};
}

std::string read_sysctl(const std::string& path) {
  std::string text = real_id_map_system().read(path).value_or("");
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

}  // namespace nh::run
