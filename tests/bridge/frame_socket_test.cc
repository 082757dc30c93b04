// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/bridge/frame_socket.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <vector>

#include "src/base/limits.h"
#include "tests/support/catch.h"

using namespace nh;

namespace {

struct Pair {
  UniqueFd theirs;
  FrameSocket ours;

  Pair() : Pair(make()) {}
  explicit Pair(std::array<int, 2> fds) : theirs(fds[0]), ours(UniqueFd(fds[1])) {}

  static std::array<int, 2> make() {
    std::array<int, 2> fds{};
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) == 0);
    return fds;
  }
  void send_frame(std::size_t size) {
    const std::vector<std::uint8_t> frame(size, 7);
    REQUIRE(send(theirs.get(), frame.data(), size, 0) == static_cast<ssize_t>(size));
  }
};

}  // namespace

TEST_CASE("each packet is a frame, and there may be none", "[frame_socket]") {
  Pair pair;
  CHECK(pair.ours.read().value().empty());
  pair.send_frame(60);
  pair.send_frame(1514);
  CHECK(pair.ours.read().value().size() == 60);
  CHECK(pair.ours.read().value().size() == 1514);
  CHECK(pair.ours.read().value().empty());
  CHECK_FALSE(pair.ours.offloads());
}

TEST_CASE("a packet that is longer than any frame is passed over", "[frame_socket]") {
  Pair pair;
  pair.send_frame(limits::frame_size + 1);
  pair.send_frame(60);
  CHECK(pair.ours.read().value().empty());
  CHECK(pair.ours.read().value().size() == 60);
}

TEST_CASE("a packet of no bytes is not the peer's end", "[frame_socket]") {
  Pair pair;
  pair.send_frame(0);
  pair.send_frame(60);
  CHECK(pair.ours.read().value().empty());
  CHECK(pair.ours.read().value().size() == 60);
  REQUIRE(shutdown(pair.theirs.get(), SHUT_WR) == 0);
  CHECK_FALSE(pair.ours.read().ok());
}

TEST_CASE("the peer's end is told, also after what it has sent", "[frame_socket]") {
  Pair pair;
  pair.send_frame(60);
  pair.theirs.reset();
  CHECK(pair.ours.read().value().size() == 60);
  const auto end = pair.ours.read();
  REQUIRE_FALSE(end.ok());
  CHECK(end.error().code == Code::gone);
  const std::array<std::uint8_t, 60> frame{};
  CHECK(pair.ours.write(frame, {}) == Taken::lost);
}

TEST_CASE("a peer that does not read makes us wait, not lose", "[frame_socket]") {
  Pair pair;
  const std::array<std::uint8_t, 1514> frame{};
  int taken = 0;
  while (taken < 100000 && pair.ours.write(frame, {}) == Taken::yes) ++taken;
  CHECK(taken > 0);
  CHECK(pair.ours.write(frame, {}) == Taken::later);
  std::array<std::uint8_t, 2000> buffer{};
  for (int i = 0; i < taken; ++i) REQUIRE(recv(pair.theirs.get(), buffer.data(), buffer.size(), 0) == 1514);
  CHECK(pair.ours.write(frame, {}) == Taken::yes);
}
