// SPDX-License-Identifier: BSD-3-Clause
// The start of netns-run. What a run is stands in launcher.h.
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <vector>

#include "src/base/log.h"
#include "src/linux/inherited_fds.h"
#include "tools/netns-run/doctor/doctor.h"
#include "tools/netns-run/options/options.h"
#include "tools/netns-run/outside/launcher.h"
#include "tools/netns-run/outside/own_program.h"

namespace {

using namespace nh;

// Whoever started us with 0, 1 or 2 closed would have our sockets read and written by the command.
void open_standard_fds() {
  for (int fd = 0; fd <= 2; ++fd)
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) _exit(run::exit_own_failure);
}

/// The descriptors that the options name; all others that were inherited are neither ours nor the command's.
std::vector<int> named_descriptors(const run::Plan& plan) {
  const run::StatusPlan& status = plan.status;
  std::vector<int> named{status.info_fd, status.json_status_fd, status.block_fd, status.userns_block_fd, status.sync_fd};
  for (const NamespaceType type : all_namespace_types) {
    const NamespaceEntry& entry = plan.namespaces.entry(type);
    if (entry.by == NamespaceEntry::By::fd) named.push_back(entry.number);
  }
  return named;
}

/// A joined namespace is held by a copy of ours; the caller's own is not for the command.
void close_on_exec(const std::vector<int>& fds) {
  for (const int fd : fds)
    if (fd > STDERR_FILENO) fcntl(fd, F_SETFD, FD_CLOEXEC);
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_fds();
  // Ignored by a careless parent, it would let the kernel reap our children before we have asked how they ended.
  std::signal(SIGCHLD, SIG_DFL);
  // A copy of ours would warn of the same things again.
  const bool may_copy = run::own_file_is_the_callers();
  log::set_up({.level = may_copy ? log::Level::error : log::Level::warning, .program = "netns-run"});
  auto line = run::parse_command_line(argc, argv);
  if (!line) {
    log::error(line.error().message() + " (netns-run --help shows the options)");
    return run::exit_own_failure;
  }
  log::set_up({.level = line->log_level, .program = "netns-run"});
  switch (line->action) {
    case run::CommandLine::Action::print:
      std::fputs(line->text.c_str(), stdout);
      return std::fflush(stdout) == 0 ? 0 : run::exit_own_failure;
    case run::CommandLine::Action::doctor:
      return run::doctor(stdout, line->json);
    case run::CommandLine::Action::run:
      break;
  }
  if (may_copy && run::sees_less_than_caller(line->plan)) {
    const auto copied = run::go_on_as_copy(argv);
    log::error(copied.error().message());
    return run::exit_own_failure;
  }
  // The copy's name would be that of a descriptor.
  prctl(PR_SET_NAME, "netns-run");
  const std::vector<int> named = named_descriptors(line->plan);
  if (const auto closed = close_all_but(named); !closed) {
    log::error(closed.error().message());
    return run::exit_own_failure;
  }
  close_on_exec(named);
  return run::launch(line->plan);
}
