// SPDX-License-Identifier: BSD-3-Clause
// The start of netns-helper. Reads as LIFE in netns-helper.1; whatever fails before ready ends here with its reason.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "src/helper/options.h"
#include "src/helper/personalities/slirp4netns_options.h"
#include "src/helper/serve.h"
#include "src/oci/hook.h"

namespace {

// Whoever started us with 0, 1 or 2 closed would have our sockets written to as if they were standard error.
void open_standard_fds() {
  for (int fd = 0; fd <= 2; ++fd)
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) _exit(nh::exit_failure);
}

int as_netns_helper(int argc, char** argv) {
  auto line = nh::parse_command_line(argc, argv);
  if (!line) {
    nh::log::error(line.error().message() + " (netns-helper --help shows the options)");
    return nh::exit_usage;
  }
  if (line->print) {
    std::fputs(line->print->text.c_str(), stdout);
    return std::fflush(stdout) == 0 ? nh::exit_asked : nh::exit_failure;
  }
  return nh::serve(line->options);
}

int as_slirp4netns(int argc, char** argv) {
  const auto line = nh::parse_slirp4netns(argc, argv);
  std::fputs(line.err.c_str(), stderr);
  std::fputs(line.out.c_str(), stdout);
  const bool written = std::fflush(stdout) == 0;
  if (line.exit) return *line.exit == nh::exit_asked && !written ? nh::exit_failure : *line.exit;
  return nh::serve(line.options);
}

std::string_view base_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_fds();
  umask(077);
  // Nothing of the guest's may end up in a core file.
  prctl(PR_SET_DUMPABLE, 0);

  constexpr std::string_view slirp4netns = "slirp4netns";
  if (argc > 0 && base_name(argv[0]) == slirp4netns) return as_slirp4netns(argc, argv);
  if (argc > 1 && argv[1] == slirp4netns) return as_slirp4netns(argc - 1, argv + 1);
  if (argc > 1 && argv[1] == std::string_view("oci-hook")) return nh::oci_hook_main(argc - 1, argv + 1);
  return as_netns_helper(argc, argv);
}
