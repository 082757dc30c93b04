// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/target.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <climits>

#include "src/base/log.h"
#include "src/base/number.h"
#include "src/linux/namespace.h"
#include "src/linux/one_client.h"
#include "src/linux/pidfd.h"
#include "src/linux/tap.h"
#include "src/linux/tap_socket.h"

namespace nh {

namespace {

Error with_field(Error error, std::string_view field) {
  if (error.field.empty()) error.field = field;
  return error;
}

/// Which user namespace to join before `netns`; empty: none.
Result<UniqueFd> userns_to_join(int netns, UsernsText userns) {
  UniqueFd owner;
  if (!userns.empty()) {
    NH_LET(named, open_namespace(userns, NamespaceType::user, "userns"));
    owner = std::move(named);
  } else {
    auto found = owner_of(netns);
    // The owner is not a descendant of our user namespace, so it cannot be joined; setns(2) tells whether netns can be.
    if (!found && found.error().sys_errno == EPERM) return UniqueFd();
    if (!found) return std::move(found).error();
    owner = std::move(found).value();
  }
  NH_LET(own, is_own_namespace(owner.get(), NamespaceType::user));
  if (own) return UniqueFd();
  return owner;
}

Result<> refuse_own_netns(int netns, std::string_view subject, std::string_view field) {
  NH_LET(own, is_own_namespace(netns, NamespaceType::net));
  if (!own) return Ok{};
  return Error{
      .code = Code::invalid,
      .sys_errno = 0,
      .what = std::string(subject) + " is our own network namespace; it needs one of its own (for example: unshare -Urn)",
      .field = std::string(field)};
}

/// Adds the namespaces of the target's TAP, if they can be found.
Result<Target> with_namespaces_of_tap(Target target, UsernsText userns) {
  auto netns = netns_of_tap(target.tap.get());
  if (!netns) return target;
  NH_LET(own, is_own_namespace(netns->get(), NamespaceType::net));
  if (own) return target;  // a TAP in our own namespace: its maker configures it
  NH_LET(joined, userns_to_join(netns->get(), userns));
  target.netns = std::move(*netns);
  target.userns = std::move(joined);
  return target;
}

}  // namespace

bool Target::path_gone() const {
  if (kind != TargetKind::netns_path) return false;
  struct stat now {
  }, held{};
  const auto slash = text.rfind('/');
  const int looked_up =
      path_directory ? fstatat(path_directory.get(), text.substr(slash + 1).c_str(), &now, 0) : stat(text.c_str(), &now);
  if (looked_up != 0) return errno == ENOENT || errno == ENOTDIR || errno == ESRCH;
  return fstat(netns.get(), &held) == 0 && (now.st_dev != held.st_dev || now.st_ino != held.st_ino);
}

Result<> Target::hold_path() {
  if (kind != TargetKind::netns_path) return Ok{};
  const auto slash = text.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : text.substr(0, slash + 1);
  path_directory.reset(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!path_directory) return sys_error("opening the directory " + directory);
  return Ok{};
}

bool Target::process_gone() const {
  return kind == TargetKind::pid && has_ended(pidfd.get());
}

Result<Target> open_pid_target(pid_t pid, UniqueFd pidfd, UsernsText userns) {
  const std::string process = "process " + std::to_string(pid);
  const std::string path = "/proc/" + std::to_string(pid) + "/ns/net";
  UniqueFd netns(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const int err = errno;
  // Checked after the opening: if the process still runs, the pid was its own all the time.
  if (has_ended(pidfd.get()))
    return Error{.code = Code::gone, .sys_errno = 0, .what = process + " has ended", .field = "pid"};
  if (!netns) {
    Error error = sys_error(err, "opening " + path);
    if (err == EACCES || err == EPERM)
      error.what +=
          " (the process is not ours, or has made itself not dumpable; name its network namespace by path instead: "
          "--netns)";
    if (err == ENOENT) error.what += " (is /proc mounted, and of this pid namespace?)";
    return with_field(std::move(error), "pid");
  }
  NH_TRY(refuse_own_netns(netns.get(), "the network namespace of " + process, "pid"));
  NH_LET(joined, userns_to_join(netns.get(), userns));
  Target target;
  target.kind = TargetKind::pid;
  target.text = std::to_string(pid);
  target.pidfd = std::move(pidfd);
  target.netns = std::move(netns);
  target.userns = std::move(joined);
  return target;
}

Result<Target> open_pid_target(std::string_view text, UsernsText userns) {
  NH_LET(number, parse_unsigned(text, 1, INT_MAX, "pid"));
  const auto pid = static_cast<pid_t>(number);
  auto pidfd = open_pidfd(pid);
  if (!pidfd) return with_field(std::move(pidfd).error(), "pid");
  return open_pid_target(pid, std::move(*pidfd), userns);
}

Result<Target> open_netns_target(std::string_view text, UsernsText userns) {
  NH_LET(netns, open_namespace(text, NamespaceType::net, "netns"));
  NH_TRY(refuse_own_netns(netns.get(), text, "netns"));
  NH_LET(joined, userns_to_join(netns.get(), userns));
  Target target;
  const bool inherited = text.find_first_not_of("0123456789") == std::string_view::npos;
  target.kind = inherited ? TargetKind::netns_fd : TargetKind::netns_path;
  target.text = text;
  target.netns = std::move(netns);
  target.userns = std::move(joined);
  return target;
}

Result<Target> open_tap_fd_target(std::string_view text, UsernsText userns) {
  NH_LET(number, parse_unsigned(text, 0, INT_MAX, "tap-fd"));
  const int fd = static_cast<int>(number);
  if (auto adopted = adopt_tap(fd); !adopted)
    return with_field(std::move(adopted).error().in("--tap-fd " + std::string(text)), "tap-fd");
  Target target;
  target.kind = TargetKind::tap_fd;
  target.text = text;
  target.tap = UniqueFd(fd);
  return with_namespaces_of_tap(std::move(target), userns);
}

Result<Target> open_tap_socket_target(std::string_view text, const Clock& clock, int signal_fd, UsernsText userns,
                                      Duration wait) {
  const std::string context = "--tap-socket " + std::string(text);
  auto received = receive_tap(text, clock, signal_fd, wait);
  if (!received) return with_field(std::move(received).error().in(context), "tap-socket");
  if (auto adopted = adopt_tap(received->get()); !adopted)
    return with_field(std::move(adopted).error().in(context), "tap-socket");
  Target target;
  target.kind = TargetKind::tap_socket;
  target.text = text;
  target.tap = std::move(*received);
  return with_namespaces_of_tap(std::move(target), userns);
}

Result<Target> open_frame_socket_target(const std::string& path, int signal_fd) {
  log::info("Waiting for connection to " + path);
  const auto wait = [signal_fd](int fd, short events) -> Result<> {
    std::array<pollfd, 2> fds{
        {{.fd = fd, .events = events, .revents = 0}, {.fd = signal_fd, .events = POLLIN, .revents = 0}}};
    while (poll(fds.data(), fds.size(), -1) < 0)
      if (errno != EINTR) return sys_error("waiting");
    if (fds[1].revents != 0) return Error{.code = Code::interrupted, .what = "stopped while waiting for a client"};
    return Ok{};
  };
  auto client = accept_one_client(path, SOCK_SEQPACKET, wait);
  if (!client) return std::move(client).error().in("frame socket " + path);
  Target target;
  target.kind = TargetKind::frame_socket;
  target.text = path;
  target.frames = std::move(*client);
  return target;
}

}  // namespace nh
