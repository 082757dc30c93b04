// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/bind_error.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "src/base/number.h"
#include "src/base/unique_fd.h"

namespace nh {
namespace {

std::uint64_t first_unprivileged_port(const std::string& sysctl) {
  constexpr std::uint64_t kernel_default = 1024;  // ip(7), ip_unprivileged_port_start
  const UniqueFd fd(open(sysctl.c_str(), O_RDONLY | O_CLOEXEC));
  char text[16];
  const ssize_t size = fd ? read(fd.get(), text, sizeof text) : 0;
  if (size <= 1) return kernel_default;
  const std::string_view digits(text, static_cast<std::size_t>(size - (text[size - 1] == '\n' ? 1 : 0)));
  const auto port = parse_unsigned(digits, 0, 65536, "ip_unprivileged_port_start");
  return port ? *port : kernel_default;
}

}  // namespace

Error bind_error(int err, Transport transport, const Endpoint& endpoint, const std::string& sysctl) {
  Error error = sys_error(err, "listening on " + endpoint.text() + "/" + std::string(transport_name(transport)));
  error.field = "host_port";
  if (err == EADDRINUSE) {
    error.what +=
        ": the port is in use by another program or forward; choose another host_port, or 0 for "
        "any free one";
  } else if (err == EACCES || err == EPERM) {
    const std::uint64_t first = first_unprivileged_port(sysctl);
    if (endpoint.port != 0 && endpoint.port < first) {
      error.code = Code::privileged;
      error.what += ": ports below " + std::to_string(first) +
                    " need a privilege; choose a higher host_port, or let root run " +
                    "sysctl net.ipv4.ip_unprivileged_port_start=" + std::to_string(endpoint.port);
    }
  } else if (err == EADDRNOTAVAIL) {
    error.field = "host_addr";
    error.what += ": no such address on this host";
  } else if (err == EAFNOSUPPORT || err == EINVAL) {
    error.field = "host_addr";
  }
  return error;
}

}  // namespace nh
