// SPDX-License-Identifier: BSD-3-Clause
// libslirp with a guest that is a list of frames, and system calls of the test program that fail on demand.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <vector>

#include "netstack/slirp/slirp_stack.h"
#include "tests/support/catch.h"
#include "tests/support/frame_recorder.h"
#include "tests/support/frames.h"

namespace nh::test {

/// What goes on between the calls of libslirp and ours, or goes wrong in them (slirp_rig.cc).
struct SocketFaults {
  bool take_descriptors = false;  ///< as another thread does: the lowest free one is gone when libslirp asks for a socket
  std::vector<UniqueFd> taken;
  bool sockets_fail = false;
  int listens_until_failure = 0;  ///< the n-th listen(2) fails; 0: none
  int names_until_failure = 0;    ///< the n-th getsockname(2) fails; 0: none
};
extern SocketFaults faults;

inline UniqueFd stream_socket(Family family) {
  return UniqueFd(socket(family == Family::v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

inline UniqueFd listener_at(const Endpoint& endpoint) {
  UniqueFd fd = stream_socket(endpoint.address.family());
  const SockAddr name(endpoint);
  if (bind(fd.get(), name.get(), name.length) != 0 || listen(fd.get(), 8) != 0) return {};
  return fd;
}

inline Endpoint name_of(const UniqueFd& fd) {
  SockAddr name;
  REQUIRE(getsockname(fd.get(), name.get(), &name.length) == 0);
  return name.endpoint().value();
}

inline UniqueFd client_of(const Endpoint& endpoint) {
  UniqueFd fd = stream_socket(endpoint.address.family());
  const SockAddr name(endpoint);
  if (connect(fd.get(), name.get(), name.length) != 0) return {};
  return fd;
}

inline Endpoint loopback(std::uint16_t port = 0) {
  return {Address::loopback(Family::v4), port};
}

struct SlirpRig {
  Loop loop;
  EpollSet epoll = EpollSet::create().value();
  FrameRecorder guest;
  std::unique_ptr<SlirpStack> stack =
      SlirpStack::create({.plan = plan(), .allow_host_loopback = true}, loop, epoll, guest).value();

  SlirpRig() {
    // libslirp learns the guest's MAC from its ARP requests, and sends it no TCP segment before.
    stack->input(arp(1, addr("10.0.2.100"), addr("10.0.2.2")));
    guest.frames.clear();
  }
  // One turn; waits at most a second for an event.
  void turn() {
    epoll.dispatch(1000);
    stack->serve();
  }
  // The first TCP segment with these flags that the guest gets within a few turns.
  std::optional<Packet> segment(std::uint8_t flags) {
    for (int turns = 0; turns < 5; ++turns) {
      for (Frame& frame : guest.frames) {
        const Packet packet = parse_packet(frame).packet;
        if (packet.is_tcp() && packet.tcp_flags == flags) return packet;
      }
      turn();
    }
    return std::nullopt;
  }
};

}  // namespace nh::test
