// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/outside/helper_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>

#include "src/linux/pidfd.h"
#include "tools/netns-run/inside/network.h"
#include "tools/netns-run/outside/own_program.h"
#include "tools/netns-run/outside/signals.h"

namespace nh::run {
namespace {

constexpr int stop_wait = 5000;  // ms for a helper to undo what it did, of which it needs some 5; then it is killed

Result<std::array<UniqueFd, 2>> make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return sys_error("making a pipe to the helper");
  return std::array{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

bool is_program(const std::string& path) {
  return access(path.c_str(), X_OK) == 0;
}

std::string own_directory() {
  const std::string own = own_path();
  return own.substr(0, own.rfind('/') + 1);
}

/// posix_spawn(3)'s two objects, for a program with a session of its own, default signals (but those that stay ignored), and no input.
class Spawning {
 public:
  Spawning() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    for (const int number : {SIGHUP, SIGINT, SIGQUIT})
      if (stays_ignored(number)) sigdelset(&all, number);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    // The helper reads no input; and a reader of our output must not wait for the helper's end.
    posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions_, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  }
  Spawning(const Spawning&) = delete;
  Spawning& operator=(const Spawning&) = delete;
  ~Spawning() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  /// Onto itself: close-on-exec is taken from it.
  void keep(int fd) { posix_spawn_file_actions_adddup2(&actions_, fd, fd); }
  int spawn(pid_t& pid, const std::vector<std::string>& command) const {
    std::vector<char*> words;
    for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    return posix_spawn(&pid, command.front().c_str(), &actions_, &attributes_, words.data(), environ);
  }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

}  // namespace

Result<HelperPipes> HelperPipes::make() {
  HelperPipes pipes;
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return sys_error("making the TAP's socket");
  pipes.tap_helper.reset(ends[0]);
  pipes.tap_child.reset(ends[1]);
  NH_LET(ready, make_pipe());
  pipes.ready_read = std::move(ready[0]);
  pipes.ready_write = std::move(ready[1]);
  NH_LET(exit, make_pipe());
  pipes.exit_read = std::move(exit[0]);
  pipes.exit_write = std::move(exit[1]);
  return pipes;
}

Result<std::string> find_helper(const std::string& path) {
  constexpr std::string_view name = "netns-helper";
  if (!path.empty()) {
    if (is_program(path)) return path;
    return sys_error("--helper " + path);
  }
  std::string beside = own_directory() + std::string(name);
  if (is_program(beside)) return beside;
  const char* const search = std::getenv("PATH");
  std::string_view rest = search == nullptr ? "" : search;
  while (!rest.empty()) {
    const auto colon = rest.find(':');
    std::string candidate = std::string(rest.substr(0, colon)) + "/" + std::string(name);
    if (candidate.starts_with('/') && is_program(candidate)) return candidate;
    rest.remove_prefix(colon == std::string_view::npos ? rest.size() : colon + 1);
  }
  return Error{.code = Code::missing,
               .what = "netns-helper is neither beside netns-run (" + beside +
                       ") nor in PATH; --helper names it, --no-net does without",
               .field = "helper"};
}

std::vector<std::string> helper_command(const NetworkPlan& plan, const std::string& program, int tap_socket, int ready,
                                        int exit) {
  std::vector<std::string> command{program,
                                   "--tap-socket=" + std::to_string(tap_socket),
                                   "--ready-fd=" + std::to_string(ready),
                                   "--exit-fd=" + std::to_string(exit),
                                   "--cidr=" + plan.cidr.text(),
                                   "--mtu=" + std::to_string(plan.mtu)};
  command.push_back(plan.cidr6 ? "--cidr6=" + plan.cidr6->text() : "--no-ipv6");
  if (!plan.dns) command.emplace_back("--no-dns");
  // It parses what the command sends: a fault in it must give the command no more than the network that it has anyway.
  if (plan.confine_helper) command.insert(command.end(), {"--sandbox", "--seccomp"});
  const bool own_addresses = plan.addresses == NetworkPlan::Addresses::private_30;
  if (own_addresses) command.emplace_back("--no-configure");
  for (RuleSpec spec : plan.publish) {
    // The helper's idea of the guest's address is another one.
    const bool host_v6 = spec.host_address && spec.host_address->is_v6();
    if (own_addresses && spec.kind == RuleSpec::Kind::forward && !spec.guest_address && !host_v6)
      spec.guest_address = guest_network(plan).addresses.front();
    command.push_back("--forward=" + spec.text());
  }
  command.insert(command.end(), plan.helper_options.begin(), plan.helper_options.end());
  return command;
}

Result<HelperProcess> HelperProcess::start(const NetworkPlan& plan, HelperPipes& pipes) {
  NH_LET(program, find_helper(plan.helper_path));
  Spawning spawning;
  for (const UniqueFd* fd : {&pipes.tap_helper, &pipes.ready_write, &pipes.exit_read}) spawning.keep(fd->get());
  const auto command = helper_command(plan, program, pipes.tap_helper.get(), pipes.ready_write.get(), pipes.exit_read.get());
  HelperProcess helper;
  if (const int err = spawning.spawn(helper.pid_, command); err != 0) return sys_error(err, "starting " + program);
  pipes.tap_helper.reset();
  pipes.ready_write.reset();
  pipes.exit_read.reset();
  helper.ready_ = std::move(pipes.ready_read);
  helper.exit_ = std::move(pipes.exit_write);
  return helper;
}

HelperProcess::HelperProcess(HelperProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), ready_(std::move(other.ready_)), exit_(std::move(other.exit_)) {}

HelperProcess::~HelperProcess() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

Result<> HelperProcess::take_ready() {
  char byte = 0;
  ssize_t got = 0;
  do {
    got = read(ready_.get(), &byte, 1);
  } while (got < 0 && errno == EINTR);
  if (got == 1) return Ok{};
  return Error{.code = Code::failed, .what = "netns-helper has ended without a network"};
}

void HelperProcess::stop() {
  if (pid_ < 0) return;
  exit_.reset();
  const auto pidfd = open_pidfd(pid_);
  if (!pidfd || !wait_for_end(pidfd->get(), stop_wait)) kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

}  // namespace nh::run
