// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/fd_passing.h"

#include <sys/socket.h>
#include <sys/types.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

namespace nh {

namespace {

/// SCM_MAX_FD of the kernel (include/net/scm.h): no message carries more.
constexpr std::size_t scm_max_fd = 253;

std::vector<UniqueFd> take_fds(msghdr& message) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

Error refused(std::string what) {
  return Error{.code = Code::invalid, .sys_errno = 0, .what = std::move(what)};
}

}  // namespace

Result<> send_message(int socket, Bytes payload, int fd) {
  return send_message(socket, payload, std::span<const int>(&fd, fd >= 0 ? 1 : 0));
}

Result<> send_message(int socket, Bytes payload, std::span<const int> fds) {
  NH_BUG_IF(fds.size() > scm_max_fd);
  iovec part{.iov_base = const_cast<std::uint8_t*>(payload.data()), .iov_len = payload.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(scm_max_fd * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  ssize_t sent = -1;
  do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) return sys_error("sending a message");
  if (static_cast<std::size_t>(sent) != payload.size())
    return Error{.code = Code::failed, .sys_errno = 0, .what = "sending a message: only a part was taken"};
  return Ok{};
}

Result<ReceivedFds> receive_fds(int socket, MutableBytes buffer, std::size_t most) {
  iovec part{.iov_base = buffer.data(), .iov_len = buffer.size()};
  // Room for the most descriptors that a message can have, so that every received descriptor is known and can be closed.
  alignas(cmsghdr) std::array<char, CMSG_SPACE(scm_max_fd * sizeof(int)) + CMSG_SPACE(sizeof(ucred))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t size = -1;
  do size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (size < 0 && errno == EINTR);
  if (size < 0) return sys_error("receiving a message");

  ReceivedFds received{
      .size = static_cast<std::size_t>(size), .fds = take_fds(message), .lost = (message.msg_flags & MSG_CTRUNC) != 0};
  if ((message.msg_flags & MSG_TRUNC) != 0)
    return refused("the message is longer than " + std::to_string(buffer.size()) + " bytes");
  if (received.fds.size() > most && !received.lost)
    return refused("the message carries " + std::to_string(received.fds.size()) + " descriptors, not " +
                   std::to_string(most));
  return received;
}

Result<ReceivedMessage> receive_message(int socket, MutableBytes buffer, FdRule rule) {
  NH_LET(all, receive_fds(socket, buffer, rule == FdRule::none ? 0 : 1));
  if (all.lost)
    return refused(
        "the message's descriptors or other control data were cut off (too many of them, or we are out of "
        "descriptors)");
  if (all.size == 0 && all.fds.empty()) return ReceivedMessage{};
  if (rule == FdRule::one && all.fds.empty()) return refused("the message carries no descriptor");
  ReceivedMessage received{.size = all.size, .fd = {}};
  if (!all.fds.empty()) received.fd = std::move(all.fds.front());
  return received;
}

}  // namespace nh
