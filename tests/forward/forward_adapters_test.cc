// SPDX-License-Identifier: BSD-3-Clause
// That every listener has its descriptor from the budget, whichever path carries it.
#include "src/forward/forward_adapters.h"

#include <sys/socket.h>

#include "tests/support/catch.h"
#include "tests/support/frame_recorder.h"

using namespace nh;
using namespace nh::test;

namespace {

struct Paths {
  explicit Paths(std::size_t descriptors) : fds(descriptors) {}

  static Destination destination() {
    Destination destination;
    destination.v4 = plan().v4.guest;
    destination.port = 53;
    return destination;
  }
  Result<Endpoint> add(std::uint64_t number) {
    return udp.add(number, 1, {Address::loopback(Family::v4), 0}, "", destination());
  }

  Loop loop;
  EpollSet epoll = EpollSet::create(loop).value();
  FrameRecorder sink;
  Neighbours neighbours{guest_mac};
  FlowIds ids;
  FdBudget fds;
  UdpForward forward{{.epoll = &epoll, .clock = &loop.clock(), .sink = &sink, .neighbours = &neighbours, .plan = plan()}};
  UdpReverse reverse{{.epoll = &epoll, .clock = &loop.clock(), .ids = &ids}};
  UdpPath udp{forward, reverse, fds};
};

UniqueFd guest_socket() {
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const SockAddr name(at("127.0.0.1", 0));
  REQUIRE(bind(fd.get(), name.get(), name.length) == 0);
  return fd;
}

}  // namespace

TEST_CASE("UDP listeners take descriptors from the budget, and are refused beyond it", "[forward_adapters]") {
  Paths paths(2);
  const auto first = paths.add(1);
  REQUIRE(first);
  Destination host;
  host.host = at("127.0.0.1", 53);
  REQUIRE(paths.udp.add_reverse(2, 1, guest_socket(), host));
  CHECK(paths.fds.used() == 2);
  const auto refused = paths.add(3);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Code::exhausted);
  CHECK(paths.udp.add_reverse(3, 1, guest_socket(), host).error().code == Code::exhausted);

  paths.udp.remove(2);
  CHECK(paths.fds.used() == 1);
  // What fails for another reason takes none.
  CHECK(paths.udp.add(4, 1, *first, "", Paths::destination()).error().code == Code::in_use);
  CHECK(paths.fds.used() == 1);
  paths.udp.remove(1);
  CHECK(paths.fds.used() == 0);
}
