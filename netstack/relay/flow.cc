// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/flow.h"

#include <cerrno>

namespace nh {

std::string_view path_name(FlowPath path) {
  switch (path) {
    case FlowPath::relay:
      return "relay";
    case FlowPath::frames:
      return "frames";
    case FlowPath::libslirp:
      return "libslirp";
  }
  NH_BUG_IF(true);
}

std::string_view direction_name(FlowDirection direction) {
  return direction == FlowDirection::in ? "in" : "out";
}

std::string_view end_name(FlowEnd end) {
  switch (end) {
    case FlowEnd::closed:
      return "closed";
    case FlowEnd::reset_by_host:
      return "reset_by_host";
    case FlowEnd::reset_by_guest:
      return "reset_by_guest";
    case FlowEnd::refused:
      return "refused";
    case FlowEnd::unreachable:
      return "unreachable";
    case FlowEnd::timed_out:
      return "timed_out";
    case FlowEnd::killed:
      return "killed";
    case FlowEnd::exhausted:
      return "exhausted";
    case FlowEnd::failed:
      return "failed";
  }
  NH_BUG_IF(true);
}

FlowEnd flow_end_of(int error) {
  switch (error) {
    case ECONNREFUSED:
    case ECONNRESET:  // accepted by the kernel and reset before the service took it
      return FlowEnd::refused;
    case ETIMEDOUT:
      return FlowEnd::timed_out;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EACCES:       // "administratively prohibited", of either family
    case EPERM:        // a packet filter of the host dropped our packet
    case ENOPROTOOPT:  // "protocol unreachable"
    case EOPNOTSUPP:   // "source route failed"
    case EHOSTDOWN:    // "destination host unknown"
    case ENONET:       // "source host isolated"
    case ENOENT:       // of a Unix socket
      return FlowEnd::unreachable;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ENOSPC:  // epoll watches (epoll_ctl(2))
    case EADDRNOTAVAIL:
    case EADDRINUSE:
    case EAGAIN:  // the queue of a Unix listener is full (unix(7))
      return FlowEnd::exhausted;
    default:
      return FlowEnd::failed;
  }
}

FlowEnd flow_end_of(const Error& error) {
  if (error.sys_errno != 0) return flow_end_of(error.sys_errno);
  switch (error.code) {
    case Code::timeout:
      return FlowEnd::timed_out;
    case Code::exhausted:
    case Code::in_use:
      return FlowEnd::exhausted;
    case Code::denied:
      return FlowEnd::unreachable;
    default:
      return FlowEnd::failed;
  }
}

}  // namespace nh
