// SPDX-License-Identifier: BSD-3-Clause
// receive_tap() does not ask what the descriptor is, so these send standard error.
#include "src/linux/tap_socket.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "src/linux/fd_passing.h"
#include "tests/support/catch.h"

namespace nh {
namespace {

using namespace std::chrono_literals;

constexpr std::array<std::uint8_t, 1> one_byte{7};
const MonotonicClock the_clock;

/// A directory of our own, removed at the end with the file `socket` in it.
struct Directory {
  std::string path = "/tmp/tap-socket-test-XXXXXX";
  Directory() { REQUIRE(mkdtemp(path.data()) != nullptr); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() {
    unlink(socket().c_str());
    rmdir(path.c_str());
  }
  std::string socket() const { return path + "/socket"; }
};

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

UniqueFd listen_at(const std::string& path, int type) {
  UniqueFd listener(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  const sockaddr_un address = address_of(path);
  REQUIRE(bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(listen(listener.get(), 4) == 0);
  return listener;
}

TEST_CASE("a path that is a listening socket is connected to, of either type") {
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET}) {
    const Directory directory;
    const UniqueFd listener = listen_at(directory.socket(), type);
    std::thread sender([&] {
      const UniqueFd client(accept(listener.get(), nullptr, nullptr));
      (void)send_message(client.get(), one_byte, STDERR_FILENO).ok();
    });
    const auto received = receive_tap(directory.socket(), the_clock, -1, 10s);
    sender.join();
    REQUIRE(received);
    CHECK(*received);
    struct stat present {};
    CHECK(lstat(directory.socket().c_str(), &present) == 0);  // not ours to remove
  }
}

TEST_CASE("a path that does not exist is listened on with mode 0600, and removed again") {
  const Directory directory;
  mode_t mode = 0;
  const mode_t former_mask = umask(0);
  std::thread sender([&] {
    const UniqueFd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = address_of(directory.socket());
    bool connected = false;
    for (int i = 0; i < 1000000 && !connected; ++i) {
      struct stat present {};
      if (lstat(directory.socket().c_str(), &present) == 0) mode = present.st_mode;
      connected = connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
      std::this_thread::yield();
    }
    (void)send_message(client.get(), one_byte, STDERR_FILENO).ok();
  });
  const auto received = receive_tap(directory.socket(), the_clock, -1, 10s);
  sender.join();
  umask(former_mask);
  REQUIRE(received);
  CHECK(*received);
  CHECK((mode & 07777) == 0600);
  struct stat present {};
  CHECK(lstat(directory.socket().c_str(), &present) != 0);
}

TEST_CASE("nothing in time is a timeout, and the socket file is removed") {
  const Directory directory;
  const auto received = receive_tap(directory.socket(), the_clock, -1, 10ms);
  REQUIRE(!received);
  CHECK(received.error().code == Code::timeout);
  struct stat present {};
  CHECK(lstat(directory.socket().c_str(), &present) != 0);
}

TEST_CASE("a readable signal descriptor interrupts the wait") {
  const Directory directory;
  const UniqueFd signals(eventfd(1, EFD_CLOEXEC));
  const auto received = receive_tap(directory.socket(), the_clock, signals.get(), 10s);
  REQUIRE(!received);
  CHECK(received.error().code == Code::interrupted);
}

TEST_CASE("an inherited socket is taken from; one without a descriptor, closed, or no socket at all is refused") {
  std::array<int, 2> ends{};
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
  UniqueFd ours(ends[0]), theirs(ends[1]);
  const std::string number = std::to_string(ours.get());
  REQUIRE(send_message(theirs.get(), one_byte, STDERR_FILENO));
  CHECK(receive_tap(number, the_clock, -1, 10s));
  REQUIRE(send_message(theirs.get(), one_byte));
  const auto none = receive_tap(number, the_clock, -1, 10s);
  REQUIRE(!none);
  CHECK(none.error().field == "tap-socket");
  CHECK(none.error().what == "the message carries no descriptor");
  theirs.reset();
  const auto ended = receive_tap(number, the_clock, -1, 10s);
  REQUIRE(!ended);
  CHECK(ended.error().code == Code::gone);
  const UniqueFd event(eventfd(0, EFD_CLOEXEC));
  const auto no_socket = receive_tap(std::to_string(event.get()), the_clock, -1, 10s);
  REQUIRE(!no_socket);
  CHECK(no_socket.error().what.find("is not a Unix socket") != std::string::npos);
}

TEST_CASE("a path that is a file, and a socket that nobody listens on, are refused") {
  const Directory directory;
  const auto folder = receive_tap(directory.path, the_clock, -1, 10s);
  REQUIRE(!folder);
  CHECK(folder.error().code == Code::in_use);
  listen_at(directory.socket(), SOCK_STREAM).reset();
  const auto dead = receive_tap(directory.socket(), the_clock, -1, 10s);
  REQUIRE(!dead);
  CHECK(dead.error().what.find("nobody listens") != std::string::npos);
  CHECK(!receive_tap(std::string(200, 'x'), the_clock, -1, 10s));
}

}  // namespace
}  // namespace nh
