// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/fd_passing.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "tests/support/catch.h"

namespace nh {
namespace {

constexpr std::array<std::uint8_t, 3> payload{1, 2, 3};

struct Pair {
  UniqueFd a, b;
  explicit Pair(int type = SOCK_SEQPACKET) {
    std::array<int, 2> ends{};
    REQUIRE(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends.data()) == 0);
    a.reset(ends[0]);
    b.reset(ends[1]);
  }
};

/// Sends `count` copies of standard error with the payload.
void send_fds(int socket, std::size_t count) {
  const std::vector<int> fds(count, STDERR_FILENO);
  std::vector<char> control(CMSG_SPACE(count * sizeof(int)));
  iovec part{.iov_base = const_cast<std::uint8_t*>(payload.data()), .iov_len = payload.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(count * sizeof(int));
  std::memcpy(CMSG_DATA(header), fds.data(), count * sizeof(int));
  REQUIRE(sendmsg(socket, &message, 0) == static_cast<ssize_t>(payload.size()));
}

std::size_t open_fds() {
  std::size_t count = 0;
  DIR* directory = opendir("/proc/self/fd");
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

Result<ReceivedMessage> take(const Pair& pair, FdRule rule) {
  std::array<std::uint8_t, 16> buffer{};
  return receive_message(pair.b.get(), buffer, rule);
}

TEST_CASE("one descriptor arrives, close-on-exec, with its bytes") {
  const Pair pair;
  REQUIRE(send_message(pair.a.get(), payload, STDERR_FILENO));
  auto received = take(pair, FdRule::one);
  REQUIRE(received);
  CHECK(received->size == 3);
  REQUIRE(received->fd);
  CHECK((fcntl(received->fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("a message without, with 2 and with 253 descriptors is refused and leaves none open") {
  const Pair pair;
  const std::size_t before = open_fds();
  REQUIRE(send_message(pair.a.get(), payload));
  const auto none = take(pair, FdRule::one);
  REQUIRE(!none);
  CHECK(none.error().what == "the message carries no descriptor");
  for (const std::size_t count : {2U, 253U}) {
    send_fds(pair.a.get(), count);
    const auto many = take(pair, FdRule::one);
    REQUIRE(!many);
    CHECK(many.error().code == Code::invalid);
    CHECK(many.error().what == "the message carries " + std::to_string(count) + " descriptors, not 1");
    CHECK(open_fds() == before);
  }
  send_fds(pair.a.get(), 1);
  CHECK(!take(pair, FdRule::none));
  CHECK(open_fds() == before);
}

TEST_CASE("descriptors that were cut off are refused") {
  const Pair pair;
  send_fds(pair.a.get(), 50);
  const std::size_t before = open_fds();
  rlimit former{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &former) == 0);
  rlimit low = former;
  low.rlim_cur = before + 5;  // room for some of them, not for all
  REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
  const auto cut = take(pair, FdRule::one);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &former) == 0);
  REQUIRE(!cut);
  CHECK(cut.error().what.find("cut off") != std::string::npos);
  CHECK(open_fds() == before);
}

TEST_CASE("credentials next to the descriptor are ignored") {
  const Pair pair;
  const int on = 1;
  REQUIRE(setsockopt(pair.b.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
  REQUIRE(send_message(pair.a.get(), payload, STDERR_FILENO));
  auto received = take(pair, FdRule::one);
  REQUIRE(received);
  CHECK(received->fd);
}

TEST_CASE("a message longer than the buffer is refused") {
  const Pair pair;
  const std::vector<std::uint8_t> longer(17);
  REQUIRE(send_message(pair.a.get(), longer));
  auto received = take(pair, FdRule::none);
  REQUIRE(!received);
  CHECK(received.error().what == "the message is longer than 16 bytes");
}

TEST_CASE("a closed peer gives size 0") {
  Pair pair;
  pair.a.reset();
  auto received = take(pair, FdRule::at_most_one);
  REQUIRE(received);
  CHECK(received->size == 0);
}

}  // namespace
}  // namespace nh
