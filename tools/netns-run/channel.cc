// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/channel.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace nh::run {
namespace {

/// The wire form: both ends are the same program.
struct Message {
  Report::Kind kind = Report::Kind::closed;
  std::int32_t number = 0;  // pid or exit code
  NamespaceInodes inodes{};
  std::array<char, 16384> text{};  // diagnostics of several lines; longer ones are cut
};
constexpr std::size_t head = offsetof(Message, text);

}  // namespace

Result<std::pair<Channel, Channel>> Channel::make_pair() {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return sys_error("making the channel to the child");
  return std::pair{Channel(UniqueFd(ends[0])), Channel(UniqueFd(ends[1]))};
}

Result<> Channel::report(const Report& report) const {
  Message message;
  message.kind = report.kind;
  message.number = report.kind == Report::Kind::failed ? report.exit_code : report.pid;
  message.inodes = report.inodes;
  const std::size_t length = std::min(report.text.size(), message.text.size());
  std::memcpy(message.text.data(), report.text.data(), length);
  if (send(fd_.get(), &message, head + length, MSG_NOSIGNAL) < 0) return sys_error("reporting to the launcher");
  return Ok{};
}

Result<> Channel::await(Order order, const std::string& step) const {
  auto byte = Order::abort;
  ssize_t got = 0;
  do {
    got = recv(fd_.get(), &byte, sizeof byte, 0);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return sys_error("waiting for " + step);
  if (got == 0) return Error{.code = Code::interrupted, .what = "the launcher is gone: it did not wait for " + step};
  if (byte != order) return Error{.code = Code::interrupted, .what = "the launcher has given up before " + step};
  return Ok{};
}

Result<> Channel::order(Order order) const {
  if (send(fd_.get(), &order, sizeof order, MSG_NOSIGNAL) < 0) return sys_error("telling the child to go on");
  return Ok{};
}

void Channel::give_up() const {
  if (!fd_) return;
  const auto byte = Order::abort;
  // Failure means that the child has ended. The order reaches one process, the end of the channel any other one.
  static_cast<void>(send(fd_.get(), &byte, sizeof byte, MSG_NOSIGNAL));
  shutdown(fd_.get(), SHUT_WR);
}

Result<Report> Channel::next() const {
  Message message;
  ssize_t got = 0;
  do {
    got = recv(fd_.get(), &message, sizeof message, 0);
  } while (got < 0 && errno == EINTR);
  // The child's end goes with an unread order in it: as good as closed.
  if (got < 0 && errno != ECONNRESET) return sys_error("listening to the child");
  if (got <= 0) return Report{};
  if (static_cast<std::size_t>(got) < head) return Error{.code = Code::invalid, .what = "a broken report of the child"};
  Report report{.kind = message.kind, .inodes = message.inodes};
  (report.kind == Report::Kind::failed ? report.exit_code : report.pid) = message.number;
  report.text.assign(message.text.data(), static_cast<std::size_t>(got) - head);
  return report;
}

}  // namespace nh::run
