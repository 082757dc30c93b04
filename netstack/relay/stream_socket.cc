// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/stream_socket.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "src/base/limits.h"

namespace nh {
namespace {

// A failure costs only what the option would have given.
void set_option(int fd, int level, int name, int value) {
  setsockopt(fd, level, name, &value, sizeof value);
}

int seconds(std::chrono::seconds time) {
  return static_cast<int>(time.count());
}

}  // namespace

void prepare_stream(int fd) {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_OOBINLINE, 1);
  set_probe_idle(fd, limits::relay_probe_idle);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds(limits::relay_probe_interval));
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, limits::relay_probes);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

int take_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return 0;
  return error;
}

std::size_t unsent(int fd) {
  int count = 0;
  if (ioctl(fd, SIOCOUTQNSD, &count) != 0 || count < 0) return 0;
  return static_cast<std::size_t>(count);
}

bool at_urgent_mark(int fd) {
  int at_mark = 0;
  return ioctl(fd, SIOCATMARK, &at_mark) == 0 && at_mark != 0;
}

bool may_block(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  return flags < 0 || (flags & O_NONBLOCK) == 0;
}

int tcp_state(int fd) {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return TCP_CLOSE;
  return info.tcpi_state;
}

void set_probe_idle(int fd, std::chrono::seconds idle) {
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds(idle));
}

void reset(UniqueFd fd) {
  if (!fd) return;
  const linger none{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
}

std::optional<Endpoint> local_name(int fd) {
  SockAddr name;
  if (getsockname(fd, name.get(), &name.length) != 0) return std::nullopt;
  auto endpoint = name.endpoint();
  return endpoint ? std::optional(*endpoint) : std::nullopt;
}

}  // namespace nh
