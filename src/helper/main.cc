// SPDX-License-Identifier: BSD-3-Clause
// The start of netns-helper. Reads as LIFE in netns-helper.1; whatever fails before ready ends here with its reason.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

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

/// The helper of the OCI hook: its command line has no descriptors, the hook gives them.
class ContainerHelper final : public nh::HookedHelper {
 public:
  nh::Result<> parse(const std::vector<std::string>& words) override {
    std::vector<const char*> argv{"netns-helper"};
    for (const std::string& word : words) argv.push_back(word.c_str());
    NH_LET(line, nh::parse_command_line(static_cast<int>(argv.size()), argv.data()));
    if (line.print) return nh::Error{.code = nh::Code::invalid, .what = "--help and --version are not for a container"};
    options_ = std::move(line.options);
    const struct {
      int fd;
      const char* option;
    } all[] = {{options_.ready_fd, "ready-fd"},
               {options_.exit_fd, "exit-fd"},
               {options_.sync_fd, "sync-fd"},
               {options_.block_fd, "block-fd"}};
    for (const auto& [fd, option] : all)
      if (fd >= 0)
        return nh::Error{.code = nh::Code::invalid,
                         .what = std::string("--") + option + ": a hook's helper has no descriptors",
                         .field = option};
    return nh::Ok{};
  }

  int serve(const Start& start) override {
    (options_.attach == nh::TargetKind::pid ? options_.target_pidfd : options_.exit_fd) = start.container_pidfd;
    options_.ready_fd = start.ready_fd;
    options_.held_fd = start.held_fd;
    if (options_.api_socket.empty()) options_.api_socket = start.api_socket;
    return nh::serve(options_);
  }

 private:
  nh::Options options_;
};

int as_oci_hook(int argc, char** argv) {
  ContainerHelper helper;
  return nh::oci_hook_main(argc, argv, helper);
}

std::string_view base_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_fds();
  umask(077);
  // Ignored by a careless parent, it would let the kernel reap our children before we have asked how they ended.
  std::signal(SIGCHLD, SIG_DFL);
  // Nothing of the guest's may end up in a core file.
  prctl(PR_SET_DUMPABLE, 0);

  constexpr std::string_view slirp4netns = "slirp4netns";
  if (argc > 0 && base_name(argv[0]) == slirp4netns) return as_slirp4netns(argc, argv);
  if (argc > 1 && argv[1] == slirp4netns) return as_slirp4netns(argc - 1, argv + 1);
  if (argc > 1 && argv[1] == std::string_view("oci-hook")) return as_oci_hook(argc - 1, argv + 1);
  return as_netns_helper(argc, argv);
}
