// SPDX-License-Identifier: BSD-3-Clause
#include "src/oci/hook.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/exit_codes.h"
#include "src/base/limits.h"
#include "src/base/log.h"
#include "src/linux/bounded_read.h"
#include "src/linux/pidfd.h"
#include "src/oci/annotations.h"
#include "src/oci/directory.h"
#include "src/oci/state.h"

namespace nh {
namespace {

constexpr std::string_view usage =
    "Usage: netns-helper oci-hook [--annotations=all|guest|none] [OPTION...] [TAPNAME] <STATE\n"
    "createRuntime, prestart and poststop hook of an OCI runtime; netns-helper-oci-hook(1).\n"
    "  --annotations=REACH  Which org.netns-helper.* annotations are taken (all); must come first\n"
    "OPTION is any of `netns-helper --help` that names neither the guest nor a descriptor.\n";

using Words = std::vector<std::string>;

Result<std::string> read_file(const std::string& path, std::size_t size, const Clock& clock) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return sys_error("opening " + path);
  return read_bounded({.fd = fd.get(), .subject = path, .size = size, .wait = limits::oci_state_wait}, clock);
}

/// "--pid=N", or "--netns=PATH" where the kernel does not let us look into the process.
Result<std::string> target_word(const ContainerState& state, const Clock& clock) {
  const std::string own = "/proc/" + std::to_string(*state.pid) + "/ns/net";
  const UniqueFd fd(open(own.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd || (errno != EACCES && errno != EPERM)) return "--pid=" + std::to_string(*state.pid);  // other errors: its business
  const int err = errno;
  Error denied = sys_error(err, "opening " + own);
  denied.what +=
      " (crun makes a container's process not dumpable before its hooks run; an unprivileged hook "
      "can then serve "
      "only a network namespace that config.json names by path, under linux.namespaces";
  auto config = read_file(state.bundle + "/config.json", limits::oci_config, clock);
  if (!config) {
    denied.what += ", and " + config.error().message() + ")";
    return denied;
  }
  auto path = network_namespace_path(*config);
  if (!path) {
    denied.what += ", and its " + path.error().field + " " + path.error().message() + ")";
    return denied;
  }
  denied.what += ", and this one names none)";
  if (!*path) return denied;
  return "--netns=" + **path;
}

/// Has the helper parse the hook's command line and the container's annotations.
Result<> parse_options(HookedHelper& helper, const ContainerState& state, const Words& hook_words, AnnotationReach reach,
                       const Clock& clock) {
  NH_LET(target, target_word(state, clock));
  Words words{target};
  words.insert(words.end(), hook_words.begin(), hook_words.end());
  // Alone first: what is wrong with it is not the container's fault.
  NH_TRY(helper.parse(words));
  NH_LET(added, words_of_annotations(state.annotations, reach));
  if (added.empty()) return Ok{};
  words.insert(words.end(), added.begin(), added.end());
  auto parsed = helper.parse(words);
  if (!parsed) return std::move(parsed).error().in("with the annotations");
  return Ok{};
}

/// The end of the log, for the runtime's user to read.
void quote_log(int log_fd) {
  const off_t size = lseek(log_fd, 0, SEEK_END);
  constexpr auto most = static_cast<off_t>(limits::oci_reason);
  std::array<char, limits::oci_reason> text;
  const ssize_t got = pread(log_fd, text.data(), text.size(), size > most ? size - most : 0);
  if (got > 0) fwrite(text.data(), 1, static_cast<std::size_t>(got), stderr);
}

/// The child's side of the fork: from here on it is the helper.
int be_the_helper(HookedHelper& helper, const HookedHelper::Start& start, const OciDirectory& directory, int log_fd) {
  setsid();
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  // A hard limit that is lower already stays: only root may raise it.
  rlimit log_size{};
  getrlimit(RLIMIT_FSIZE, &log_size);
  log_size.rlim_cur = log_size.rlim_max = std::min<rlim_t>(log_size.rlim_max, limits::oci_log);
  if (chdir("/") != 0 || null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
      dup2(log_fd, STDERR_FILENO) < 0 || setrlimit(RLIMIT_FSIZE, &log_size) != 0) {
    log::error(sys_error("leaving the runtime").message());
    return exit_failure;
  }
  if (auto written = directory.write_number("pid", getpid()); !written) {
    log::error(written.error().message());
    return exit_failure;
  }
  return helper.serve(start);
}

/// Otherwise the helper has ended or will at once, and its log tells why.
Result<> wait_for_ready(int ready_fd, int pidfd) {
  std::array<pollfd, 1> fds{{{.fd = ready_fd, .events = POLLIN, .revents = 0}}};
  int ready = 0;
  do {
    ready = poll(fds.data(), fds.size(), std::chrono::duration_cast<std::chrono::milliseconds>(limits::oci_start).count());
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) {
    NH_TRY(signal_process(pidfd, SIGKILL));
    return Error{.code = Code::timeout, .what = "the network was not ready in time"};
  }
  char byte = 0;
  if (read(ready_fd, &byte, 1) == 1) return Ok{};
  // It ends by itself; its log is complete then.
  static_cast<void>(wait_for_end(pidfd, std::chrono::duration_cast<std::chrono::milliseconds>(limits::oci_stop).count()));
  return Error{.code = Code::failed, .what = "the network could not be made"};
}

Result<int> attach(HookedHelper& helper, const ContainerState& state, const Words& hook_words, AnnotationReach reach,
                   const Clock& clock) {
  NH_LET(container, open_pidfd(*state.pid));
  // Both prestart and createRuntime may name us.
  if (OciDirectory::serves(state.id, state.bundle, *state.pid)) return exit_asked;
  NH_TRY(parse_options(helper, state, hook_words, reach, clock));
  NH_LET(directory, OciDirectory::make(state.id, state.bundle, clock));
  NH_TRY(directory.write_number("container-pid", *state.pid));
  NH_LET(log_fd, directory.open_log());
  const std::string control = directory.path("control");

  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return sys_error("making a pipe");
  const UniqueFd ready(ends[0]);
  UniqueFd ready_write(ends[1]);
  const pid_t child = fork();
  if (child < 0) return sys_error("forking the helper");
  if (child == 0) {
    const HookedHelper::Start start{.container_pidfd = container.get(),
                                    .ready_fd = ready_write.release(),
                                    .held_fd = directory.fd(),
                                    .api_socket = control.size() < sizeof(sockaddr_un::sun_path) ? control : ""};
    // No destructor of this function may close what has another meaning by then.
    std::exit(be_the_helper(helper, start, directory, log_fd.get()));
  }
  ready_write.reset();
  NH_LET(pidfd, open_pidfd(child));
  auto outcome = wait_for_ready(ready.get(), pidfd.get());
  if (outcome) return exit_asked;
  waitpid(child, nullptr, 0);
  quote_log(log_fd.get());
  static_cast<void>(directory.remove().ok());
  return std::move(outcome).error();
}

Result<int> run(HookedHelper& helper, const Words& hook_words, AnnotationReach reach) {
  const MonotonicClock clock;
  NH_LET(text, read_bounded({.fd = STDIN_FILENO,
                             .subject = "the container's state on standard input",
                             .size = limits::oci_state,
                             .wait = limits::oci_state_wait},
                            clock));
  auto state = parse_container_state(text);
  if (!state) {
    const std::string member = state.error().field.empty() ? "" : state.error().field + " ";
    return Error{.code = Code::invalid, .what = "the container's state: " + member + state.error().message()};
  }
  if (state->stopped) {
    NH_TRY(OciDirectory::clean(state->id, state->bundle, clock));
    return exit_asked;
  }
  auto code = attach(helper, *state, hook_words, reach, clock);
  if (!code) return std::move(code).error().in("container " + state->id);
  return code;
}

int print(std::string_view text) {
  fwrite(text.data(), 1, text.size(), stdout);
  return std::fflush(stdout) == 0 ? exit_asked : exit_failure;
}

}  // namespace

int oci_hook_main(int argc, char** argv, HookedHelper& helper) {
  Words words(argv + 1, argv + argc);
  AnnotationReach reach = AnnotationReach::all;
  constexpr std::string_view annotations = "--annotations=";
  if (!words.empty() && words.front().starts_with(annotations)) {
    const auto parsed = parse_annotation_reach(std::string_view(words.front()).substr(annotations.size()));
    if (!parsed) {
      log::error("oci-hook: --annotations: " + parsed.error().message());
      return exit_usage;
    }
    reach = *parsed;
    words.erase(words.begin());
  }
  if (words == Words{"--help"} || words == Words{"-h"}) return print(usage);
  const auto code = run(helper, words, reach);
  if (code) return *code;
  log::error("oci-hook: " + code.error().message());
  return exit_failure;
}

}  // namespace nh
