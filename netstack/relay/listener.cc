// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/listener.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

#include "netstack/relay/bind_error.h"

namespace nh {
namespace {

bool set_number(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

Error interface_error(int err, const std::string& name) {
  Error error = sys_error(err, "listening on interface " + name);
  error.field = "host_interface";
  if (err == ENODEV) {
    error.code = Code::missing;
    error.what += ": there is no interface of this name on the host";
  } else if (err == EPERM) {
    error.what += ": needs Linux 5.7 or CAP_NET_RAW";
  }
  return error;
}

}  // namespace

Endpoint bound_endpoint(int fd) {
  SockAddr name;
  if (getsockname(fd, name.get(), &name.length) != 0) return {};
  const auto endpoint = name.endpoint();
  return endpoint ? *endpoint : Endpoint{};
}

Result<Listener> open_listener(Transport transport, const Endpoint& endpoint, const std::string& interface,
                               Wildcard wildcard) {
  const bool v6 = endpoint.address.is_v6(), tcp = transport == Transport::tcp;
  const int type = (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
  Listener made{.fd = UniqueFd(socket(v6 ? AF_INET6 : AF_INET, type, 0)), .bound = {}};
  const int fd = made.fd.get();
  if (!made.fd && errno == EAFNOSUPPORT && !interface.empty() && endpoint.address == Address::any(Family::v6))
    return open_listener(transport, {Address::any(Family::v4), endpoint.port}, interface);
  if (!made.fd) return bind_error(errno, transport, endpoint);
  const bool only = !endpoint.address.is_unspecified() || wildcard == Wildcard::v6_only;
  if (v6 && !set_number(fd, IPPROTO_IPV6, IPV6_V6ONLY, only ? 1 : 0)) return bind_error(errno, transport, endpoint);
  // Connections of an earlier listener that the kernel still remembers must not keep the port.
  if (tcp && !set_number(fd, SOL_SOCKET, SO_REUSEADDR, 1)) return bind_error(errno, transport, endpoint);
  const auto length = static_cast<socklen_t>(interface.size());
  if (!interface.empty() && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface.data(), length) != 0)
    return interface_error(errno, interface);
  const SockAddr address(endpoint);
  if (bind(fd, address.get(), address.length) != 0 || (tcp && listen(fd, SOMAXCONN) != 0))
    return bind_error(errno, transport, endpoint);
  made.bound = bound_endpoint(fd);
  return made;
}

}  // namespace nh
