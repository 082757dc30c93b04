// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/bind_error.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "src/base/unique_fd.h"
#include "tests/support/catch.h"
#include "tests/support/frames.h"

namespace nh::test {
namespace {

std::string sysctl_file(std::string_view content) {
  std::string path = "/tmp/netns-helper-sysctl-XXXXXX";
  const UniqueFd fd(mkstemp(path.data()));
  REQUIRE(write(fd.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  return path;
}

TEST_CASE("a privileged port is told with the sysctl and the cure") {
  const std::string path = sysctl_file("100\n");
  const Error error = bind_error(EACCES, Transport::udp, at("127.0.0.1", 53), path);
  unlink(path.c_str());
  CHECK(error.code == Code::privileged);
  CHECK(error.field == "host_port");
  CHECK(error.sys_errno == EACCES);
  CHECK(error.message().find("127.0.0.1:53/udp") != std::string::npos);
  CHECK(error.message().find("below 100") != std::string::npos);
  CHECK(error.message().find("net.ipv4.ip_unprivileged_port_start=53") != std::string::npos);
}

TEST_CASE("where the sysctl cannot be read the kernel's default counts") {
  CHECK(bind_error(EACCES, Transport::tcp, at("127.0.0.1", 1023), "/nonexistent").code == Code::privileged);
  CHECK(bind_error(EACCES, Transport::tcp, at("127.0.0.1", 1024), "/nonexistent").code == Code::denied);
}

TEST_CASE("a port in use and an address that is not there name their fields") {
  const Error taken = bind_error(EADDRINUSE, Transport::tcp, at("127.0.0.1", 8080));
  CHECK(taken.code == Code::in_use);
  CHECK(taken.field == "host_port");
  const Error absent = bind_error(EADDRNOTAVAIL, Transport::tcp, at("192.0.2.1", 8080));
  CHECK(absent.code == Code::missing);
  CHECK(absent.field == "host_addr");
  CHECK(absent.message().find("192.0.2.1:8080/tcp") != std::string::npos);
}

}  // namespace
}  // namespace nh::test
