// SPDX-License-Identifier: BSD-3-Clause
#include "src/helper/serve.h"

#include <algorithm>
#include <csignal>

#include "src/helper/bwrap_fds.h"
#include "src/helper/helper.h"
#include "src/linux/inherited_fds.h"
#include "src/linux/listen_fds.h"
#include "src/linux/nofile.h"
#include "src/loop/signals.h"

namespace nh {
namespace {

/// The exit code, and the signal that asked for the end (0: none did).
struct Ending {
  int code;
  int signal;
};

Result<Ending> start_and_run(Options options, const UniqueFd& signals, std::uint64_t nofile) {
  NH_LET(sandbox, BwrapSandbox::open(options, MonotonicClock(), signals.get()));
  NH_LET(helper, Helper::start(options, signals, nofile));
  NH_TRY(sandbox.let_go_on());
  const int code = helper->run();
  return Ending{.code = code, .signal = helper->ended_by_signal()};
}

Result<> move_descriptors(Options& options) {
  for (int* fd : {&options.ready_fd, &options.exit_fd, &options.sync_fd, &options.block_fd, &options.bwrap_info_fd}) {
    NH_LET(moved, above_standard(*fd));
    *fd = moved;
  }
  return Ok{};
}

// Whatever an option names is that, and no listener. slirp4netns knows none.
void take_listeners(Options& options) {
  std::vector<ListenFd> inherited = take_listen_fds();
  if (options.personality != Personality::native) return;
  const std::vector<int> named = named_descriptors(options);
  std::erase_if(inherited,
                [&](const ListenFd& one) { return std::find(named.begin(), named.end(), one.fd) != named.end(); });
  options.listeners = std::move(inherited);
}

Result<Ending> run(Options options) {
  take_listeners(options);
  NH_TRY(move_descriptors(options));
  NH_TRY(close_all_but(named_descriptors(options)));
  NH_LET(signals, take_signals({SIGTERM, SIGINT}));
  NH_LET(nofile, raise_nofile_limit());
  auto ending = start_and_run(std::move(options), signals, nofile);
  if (ending || ending.error().code != Code::interrupted) return ending;
  return Ending{.code = exit_asked, .signal = next_signal(signals)};
}

// Who waits for slirp4netns sees it die of the signal that it was sent.
int end_as_slirp4netns(const Ending& ending) {
  if (ending.signal == 0) return ending.code;
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, ending.signal);
  std::signal(ending.signal, SIG_DFL);
  raise(ending.signal);
  sigprocmask(SIG_UNBLOCK, &only, nullptr);
  return ending.code;
}

}  // namespace

int serve(const Options& options) {
  const bool native = options.personality == Personality::native;
  log::set_up({.level = options.log_level, .json = options.log_json, .program = native ? "netns-helper" : "slirp4netns"});
  auto ending = run(options);
  if (ending) return native ? ending->code : end_as_slirp4netns(*ending);
  log::error(ending.error().message());
  const bool rule_broken = native && ending.error().code == Code::invalid && !ending.error().field.empty();
  return rule_broken ? exit_usage : exit_failure;
}

}  // namespace nh
