// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/listener.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>

#include "tests/support/catch.h"
#include "tests/support/frames.h"

namespace nh::test {
namespace {

// What connect(2) says; 0: connected.
int dial(const Endpoint& to) {
  const UniqueFd fd(socket(to.address.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const SockAddr address(to);
  return connect(fd.get(), address.get(), address.length) == 0 ? 0 : errno;
}

TEST_CASE("a TCP listener is ready for clients and does not block") {
  const char* address = GENERATE("127.0.0.1", "::1", "0.0.0.0", "::");
  const auto made = open_listener(Transport::tcp, at(address, 0));
  REQUIRE(made);
  CHECK(made->bound.address == addr(address));
  CHECK(made->bound.port != 0);
  CHECK((fcntl(made->fd.get(), F_GETFL) & O_NONBLOCK) != 0);
  CHECK((fcntl(made->fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
  const bool v6 = addr(address).is_v6();
  CHECK(dial(at(v6 ? "::1" : "127.0.0.1", made->bound.port)) == 0);
}

TEST_CASE("[::] takes IPv4 clients too, unless it must not") {
  const auto dual = open_listener(Transport::tcp, at("::", 0));
  CHECK(dial(at("127.0.0.1", dual->bound.port)) == 0);
  const auto half = open_listener(Transport::tcp, at("::", 0), {}, Wildcard::v6_only);
  CHECK(dial(at("127.0.0.1", half->bound.port)) == ECONNREFUSED);
  CHECK(dial(at("::1", half->bound.port)) == 0);
}

TEST_CASE("an interface takes what comes by it, and must be there") {
  const auto lo = open_listener(Transport::tcp, at("::", 0), "lo");
  REQUIRE(lo);
  CHECK(dial(at("127.0.0.1", lo->bound.port)) == 0);
  char name[16] = {};
  socklen_t size = sizeof name;
  REQUIRE(getsockopt(lo->fd.get(), SOL_SOCKET, SO_BINDTODEVICE, name, &size) == 0);
  CHECK(std::string(name) == "lo");
  CHECK(open_listener(Transport::udp, at("::", 0), "lo"));
  const auto none = open_listener(Transport::tcp, at("::", 0), "nosuchdev0");
  REQUIRE_FALSE(none);
  CHECK(none.error().code == Code::missing);
  CHECK(none.error().field == "host_interface");
}

TEST_CASE("a port that is taken is told as such") {
  const Transport transport = GENERATE(Transport::tcp, Transport::udp);
  const auto first = open_listener(transport, at("127.0.0.1", 0));
  REQUIRE(first);
  const auto second = open_listener(transport, first->bound);
  REQUIRE_FALSE(second);
  CHECK(second.error().code == Code::in_use);
  CHECK(second.error().field == "host_port");
  const auto elsewhere = open_listener(transport, at("192.0.2.1", 0));
  REQUIRE_FALSE(elsewhere);
  CHECK(elsewhere.error().field == "host_addr");
}

}  // namespace
}  // namespace nh::test
