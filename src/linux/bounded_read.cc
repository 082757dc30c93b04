// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/bounded_read.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

namespace nh {

Result<std::string> read_bounded(const BoundedRead& read, const Clock& clock) {
  const std::string subject(read.subject);
  const Instant deadline = clock.now() + read.wait;
  std::string text;
  std::array<char, 4096> buffer;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock.now()).count();
    if (left <= 0) return Error{.code = Code::timeout, .what = subject + ": timed out"};
    std::array<pollfd, 2> fds{
        {{.fd = read.fd, .events = POLLIN, .revents = 0}, {.fd = read.signal_fd, .events = POLLIN, .revents = 0}}};
    const int ready = poll(fds.data(), fds.size(), static_cast<int>(std::min<long>(left, INT_MAX)));
    if (ready < 0 && errno != EINTR) return sys_error("waiting for " + subject);
    if (ready <= 0) continue;
    if (fds[1].revents != 0) return Error{.code = Code::interrupted, .what = "stopped while waiting for " + subject};
    const ssize_t got = ::read(read.fd, buffer.data(), buffer.size());
    if (got == 0) return text;
    if (got < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return sys_error("reading " + subject);
    }
    text.append(buffer.data(), static_cast<std::size_t>(got));
    if (text.size() > read.size)
      return Error{.code = Code::invalid, .what = subject + " is larger than " + std::to_string(read.size) + " bytes"};
    if (read.complete && read.complete(std::string_view(buffer.data(), static_cast<std::size_t>(got)))) return text;
  }
}

}  // namespace nh
