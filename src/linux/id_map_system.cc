// SPDX-License-Identifier: BSD-3-Clause
// The real IdMapSystem. newuidmap and newgidmap are the only programs that are run while a namespace is prepared.
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "src/base/unique_fd.h"
#include "src/linux/id_map_writer.h"
#include "src/linux/pidfd.h"

namespace nh {

namespace {

using namespace std::chrono_literals;

struct Output {
  UniqueFd read_end, write_end;
  bool open() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) return false;
    read_end.reset(ends[0]);
    write_end.reset(ends[1]);
    fcntl(write_end.get(), F_SETFL, 0);  // the helper's end is an ordinary one
    return true;
  }
  /// Takes what is there; forgets the pipe at its end.
  void take(std::string& text) {
    std::array<char, 4096> part{};
    ssize_t size = 0;
    while ((size = read(read_end.get(), part.data(), part.size())) > 0) {
      const std::size_t room = helper_output - std::min(helper_output, text.size());
      text.append(part.data(), std::min(room, static_cast<std::size_t>(size)));
    }
    if (size == 0) read_end.reset();
  }
};

/// Starts the program with its outputs led into the pipes, nothing to read, and no signal blocked or ignored that a launcher
/// may have blocked. 0 or errno.
int spawn(const std::vector<std::string>& arguments, int output, int errors, pid_t& child) {
  std::vector<std::string> copies = arguments;
  std::vector<char*> words;
  for (std::string& word : copies) words.push_back(word.data());
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  if (posix_spawn_file_actions_init(&actions) != 0 || posix_spawnattr_init(&attributes) != 0) return ENOMEM;
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const int err = posix_spawn(&child, words[0], &actions, &attributes, words.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return err;
}

class RealSystem final : public IdMapSystem {
 public:
  explicit RealSystem(std::chrono::milliseconds deadline) : helper_time_(deadline) {}

  int write(const std::string& path, const std::string& text) override {
    const UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file) return errno;
    const ssize_t size = ::write(file.get(), text.data(), text.size());
    if (size < 0) return errno;
    return static_cast<std::size_t>(size) == text.size() ? 0 : EIO;
  }

  std::optional<std::string> read(const std::string& path) override {
    const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 256> text{};  // numbers of /proc/sys
    const ssize_t size = file ? ::read(file.get(), text.data(), text.size()) : -1;
    if (size < 0) return std::nullopt;
    return std::string(text.data(), static_cast<std::size_t>(size));
  }

  bool exists(const std::string& path) override { return access(path.c_str(), F_OK) == 0; }

  std::optional<std::string> find_program(std::string_view name) override {
    const char* set = std::getenv("PATH");
    std::string_view path = set != nullptr ? set : "/bin:/usr/bin";  // as execvp(3)
    while (!path.empty()) {
      const auto end = path.find(':');
      const std::string directory(path.substr(0, end));
      path.remove_prefix(end == std::string_view::npos ? path.size() : end + 1);
      const std::string file = (directory.empty() ? "." : directory) + "/" + std::string(name);
      struct stat status {};
      if (stat(file.c_str(), &status) == 0 && S_ISREG(status.st_mode) && access(file.c_str(), X_OK) == 0) return file;
    }
    return std::nullopt;
  }

  HelperRun run(const std::vector<std::string>& arguments) override {
    HelperRun run;
    Output output, errors;
    if (!output.open() || !errors.open()) {
      run.start_errno = errno;
      return run;
    }
    pid_t child = -1;
    run.start_errno = spawn(arguments, output.write_end.get(), errors.write_end.get(), child);
    output.write_end.reset();
    errors.write_end.reset();
    if (run.start_errno != 0) return run;
    follow(child, output, errors, run);
    while (waitpid(child, &run.status, 0) < 0 && errno == EINTR) {
    }
    output.take(run.output);
    errors.take(run.errors);
    return run;
  }

 private:
  /// Reads both outputs until the program has ended; kills it at the deadline.
  void follow(pid_t child, Output& output, Output& errors, HelperRun& run) const {
    const auto deadline = std::chrono::steady_clock::now() + helper_time_;
    auto pidfd = open_pidfd(child);
    if (!pidfd) return;  // no fd left: the output comes after the end, as far as a pipe holds it
    while (!has_ended(pidfd->get())) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      if (left <= 0ms) {
        run.timed_out = true;
        kill(child, SIGKILL);  // not reaped yet: the number is its own
        return;
      }
      std::array<pollfd, 3> fds{{{.fd = pidfd->get(), .events = POLLIN, .revents = 0},
                                 {.fd = output.read_end.get(), .events = POLLIN, .revents = 0},
                                 {.fd = errors.read_end.get(), .events = POLLIN, .revents = 0}}};
      poll(fds.data(), fds.size(), static_cast<int>(left.count()));
      if (output.read_end) output.take(run.output);
      if (errors.read_end) errors.take(run.errors);
    }
  }

  std::chrono::milliseconds helper_time_;
};

}  // namespace

std::unique_ptr<IdMapSystem> make_id_map_system(std::chrono::milliseconds deadline) {
  return std::make_unique<RealSystem>(deadline);
}

IdMapSystem& real_id_map_system() {
  static RealSystem system(helper_time);
  return system;
}

}  // namespace nh
