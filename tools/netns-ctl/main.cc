// SPDX-License-Identifier: BSD-3-Clause
// netns-ctl: the client of netns-helper's control socket. Parse, find the helper, ask, print.
#include <cstdio>

#include "tools/netns-ctl/find_helper.h"
#include "tools/netns-ctl/options.h"
#include "tools/netns-ctl/top.h"
#include "tools/netns-ctl/verbs.h"

int main(int argc, char** argv) {
  using namespace nh::ctl;
  const auto line = parse_command_line(argc, argv);
  if (!line) {
    std::fprintf(stderr, "netns-ctl: %s (netns-ctl --help shows the options)\n", line.error().message().c_str());
    return exit_usage;
  }
  if (line->print) {
    std::fputs(line->print->c_str(), stdout);
    return std::fflush(stdout) == 0 ? exit_done : exit_refused;
  }
  auto client = reach_helper(line->options.socket, line->options.pid);
  if (!client) {
    std::fprintf(stderr, "netns-ctl: %s\n", client.error().message().c_str());
    return exit_unreached;
  }
  return line->options.verb == Verb::top ? run_top(*client, line->options) : run_verb(*client, line->options);
}
