// SPDX-License-Identifier: BSD-3-Clause
#include "src/helper/bwrap_fds.h"

#include <unistd.h>

#include <climits>
#include <csignal>
#include <utility>

#include "src/base/limits.h"
#include "src/base/number.h"
#include "src/json/json_checked.h"
#include "src/json/json_framing.h"
#include "src/linux/bounded_read.h"
#include "src/linux/pidfd.h"

namespace nh {
namespace {

Error of_option(Error error, std::string_view option) {
  const std::string member = error.field.empty() ? std::string() : error.field + " ";
  error.what = "--" + std::string(option) + ": " + member + error.what;
  error.field = option;
  return error;
}

/// The first JSON object that comes; what follows it is left out.
Result<std::string> read_object(int fd, const Clock& clock, int signal_fd) {
  JsonFraming framing(limits::bwrap_info);
  const auto feed = [&framing](std::string_view bytes) {
    framing.feed(bytes);
    return framing.state() != JsonFraming::State::empty && framing.state() != JsonFraming::State::incomplete;
  };
  NH_LET(text, read_bounded({.fd = fd,
                             .subject = "bwrap's info",
                             .size = limits::bwrap_info,
                             .wait = limits::bwrap_info_wait,
                             .signal_fd = signal_fd,
                             .complete = feed},
                            clock));
  if (framing.state() == JsonFraming::State::complete) return std::string(framing.object());
  if (text.empty())
    return Error{.code = Code::gone, .what = "end of file: bwrap has ended, or its --info-fd is another one"};
  return text;  // the parser tells what is wrong with it
}

}  // namespace

Result<pid_t> parse_bwrap_info(std::string_view json) {
  NH_LET(info, parse_checked(json));
  if (!info.is_object()) return Error{.code = Code::invalid, .what = "not a JSON object"};
  if (!info.contains("child-pid")) return Error{.code = Code::invalid, .what = "is missing", .field = "child-pid"};
  NH_LET(pid, integer_of(info["child-pid"], 1, INT_MAX, "child-pid"));
  return static_cast<pid_t>(pid);
}

Result<BwrapSandbox> BwrapSandbox::open(Options& options, const Clock& clock, int signal_fd) {
  BwrapSandbox sandbox;
  if (options.bwrap_info_fd >= 0) {
    UniqueFd info(std::exchange(options.bwrap_info_fd, -1));
    auto text = read_object(info.get(), clock, signal_fd);
    if (!text) return of_option(std::move(text).error(), "bwrap-info-fd");
    auto pid = parse_bwrap_info(*text);
    if (!pid) return of_option(std::move(pid).error(), "bwrap-info-fd");
    info.reset();  // so that there is a descriptor for the process, without which we could not keep it from going on
    auto pidfd = open_pidfd(*pid);
    if (!pidfd) return of_option(std::move(pidfd).error(), "bwrap-info-fd");
    sandbox.pidfd_ = std::move(*pidfd);
    options.target = std::to_string(*pid);
    options.target_pidfd = sandbox.pidfd_.get();
  }
  if (options.block_fd < 0) return sandbox;
  if (!sandbox.pidfd_) {
    NH_LET(pid, parse_unsigned(options.target, 1, INT_MAX, "pid"));
    NH_LET(pidfd, open_pidfd(static_cast<pid_t>(pid)));
    sandbox.pidfd_ = std::move(pidfd);
    options.target_pidfd = sandbox.pidfd_.get();
  }
  sandbox.block_fd_.reset(std::exchange(options.block_fd, -1));
  return sandbox;
}

BwrapSandbox::~BwrapSandbox() {
  // While the descriptor is open; its end would let the process go on. One that is gone needs no
  // killing.
  if (block_fd_ && pidfd_) static_cast<void>(signal_process(pidfd_.get(), SIGKILL).ok());
}

Result<> BwrapSandbox::let_go_on() {
  if (!block_fd_) return Ok{};
  if (write(block_fd_.get(), "1", 1) != 1) return of_option(sys_error("nobody waits for the byte"), "block-fd");
  block_fd_.reset();
  return Ok{};
}

}  // namespace nh
