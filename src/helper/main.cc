// SPDX-License-Identifier: BSD-3-Clause
// The start of netns-helper. Reads as LIFE in netns-helper.1; whatever fails before ready ends here with its reason.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "src/helper/helper.h"
#include "src/helper/options.h"
#include "src/linux/inherited_fds.h"
#include "src/linux/nofile.h"
#include "src/loop/signals.h"

namespace {

// Whoever started us with 0, 1 or 2 closed would have our sockets written to as if they were standard error.
void open_standard_fds() {
  for (int fd = 0; fd <= 2; ++fd)
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) _exit(nh::exit_failure);
}

nh::Result<int> run(const nh::Options& options) {
  NH_TRY(nh::close_all_but(nh::named_descriptors(options)));
  NH_LET(signals, nh::take_signals({SIGTERM, SIGINT}));
  NH_LET(nofile, nh::raise_nofile_limit());
  NH_LET(helper, nh::Helper::start(options, signals, nofile));
  return helper->run();
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_fds();
  umask(077);
  // Nothing of the guest's may end up in a core file.
  prctl(PR_SET_DUMPABLE, 0);

  auto line = nh::parse_command_line(argc, argv);
  if (!line) {
    nh::log::error(line.error().message() + " (netns-helper --help shows the options)");
    return nh::exit_usage;
  }
  if (line->print) {
    std::fputs(line->print->text.c_str(), stdout);
    return std::fflush(stdout) == 0 ? nh::exit_asked : nh::exit_failure;
  }
  const nh::Options& options = line->options;
  nh::log::set_up({.level = options.log_level, .json = options.log_json});

  auto code = run(options);
  if (code) return code.value();
  if (code.error().code == nh::Code::interrupted) return nh::exit_asked;
  nh::log::error(code.error().message());
  const bool rule_broken = code.error().code == nh::Code::invalid && !code.error().field.empty();
  return rule_broken ? nh::exit_usage : nh::exit_failure;
}
