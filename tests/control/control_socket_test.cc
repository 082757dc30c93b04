// SPDX-License-Identifier: BSD-3-Clause
#include "src/control/control_socket.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <vector>

#include "tests/control/temp_dir.h"
#include "tests/control/unix_client.h"
#include "tests/support/catch.h"

using namespace nh;
namespace fs = std::filesystem;

namespace {

/// Like a helper that was killed: its socket file stays, nobody listens.
void leave_stale_socket(const std::string& path, int type = SOCK_STREAM) {
  const UniqueFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  REQUIRE(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
}

Error refusal(const std::string& path) {
  auto socket = ControlSocket::open(path);
  REQUIRE_FALSE(socket);
  CHECK(socket.error().field == "api-socket");
  return socket.error();
}

std::size_t files_in(const test::TempDir& dir) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(dir.path()), fs::directory_iterator()));
}

}  // namespace

TEST_CASE("the socket is there while its owner lives, and only the socket") {
  const test::TempDir dir;
  {
    auto socket = ControlSocket::open(dir / "api");
    REQUIRE(socket);
    CHECK(files_in(dir) == 1);
    CHECK(test::UnixClient(dir / "api").connect_errno() == 0);
    REQUIRE(socket->accept());
    auto nobody = socket->accept();
    REQUIRE_FALSE(nobody);
    CHECK(nobody.error().code == Code::timeout);
  }
  CHECK(files_in(dir) == 0);
}

TEST_CASE(
    "the socket has mode 0600 from its first moment, whatever the umask, and its path appears "
    "listening") {
  const test::TempDir dir;
  const UniqueFd watch(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  REQUIRE(inotify_add_watch(watch.get(), dir.path().c_str(), IN_CREATE | IN_ATTRIB | IN_MOVED_TO) >= 0);
  const mode_t before = umask(0);
  auto socket = ControlSocket::open(dir / "api");
  umask(before);
  REQUIRE(socket);
  struct stat found {};
  REQUIRE(stat((dir / "api").c_str(), &found) == 0);
  CHECK((found.st_mode & 07777) == 0600);

  // Created once under another name, renamed once, and its mode was never changed in between.
  alignas(inotify_event) char buffer[4096];
  const ssize_t size = read(watch.get(), buffer, sizeof buffer);
  std::vector<std::pair<std::uint32_t, std::string>> events;
  for (ssize_t at = 0; at < size;) {
    const auto& event = *reinterpret_cast<const inotify_event*>(buffer + at);
    events.emplace_back(event.mask, event.name);
    at += static_cast<ssize_t>(sizeof event + event.len);
  }
  REQUIRE(events.size() == 2);
  CHECK(events[0].first == IN_CREATE);
  CHECK(events[0].second != "api");
  CHECK(events[1] == std::pair<std::uint32_t, std::string>(IN_MOVED_TO, "api"));
}

TEST_CASE("a path of 108 bytes is refused in slirp4netns's words, one of 107 is taken") {
  const test::TempDir dir;
  const std::string fits = dir / std::string(106 - dir.path().size(), 'x');
  REQUIRE(fits.size() == 107);
  CHECK(ControlSocket::open(fits));
  CHECK(refusal(fits + "x").message() == "the specified API socket path is too long (>= 108)");
}

TEST_CASE("a stale socket is taken over, of whatever type") {
  const test::TempDir dir;
  for (const int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}) {
    leave_stale_socket(dir / "api", type);
    CHECK(test::UnixClient(dir / "api").connect_errno() == ECONNREFUSED);
    auto socket = ControlSocket::open(dir / "api");
    REQUIRE(socket);
    CHECK(test::UnixClient(dir / "api").connect_errno() == 0);
    CHECK(files_in(dir) == 1);
  }
  CHECK(files_in(dir) == 0);
}

TEST_CASE("a socket on which somebody listens is refused and goes on") {
  const test::TempDir dir;
  auto first = ControlSocket::open(dir / "api");
  REQUIRE(first);
  const Error error = refusal(dir / "api");
  CHECK(error.code == Code::in_use);
  CHECK(error.message().find(dir / "api") != std::string::npos);
  CHECK(test::UnixClient(dir / "api").connect_errno() == 0);
  CHECK(files_in(dir) == 1);

  // Nor is one whose backlog is full, or of another type, mistaken for a dead one.
  std::vector<test::UnixClient> crowd;
  for (int i = 0; i < 100; ++i) crowd.emplace_back(dir / "api");
  REQUIRE(crowd.back().connect_errno() == EAGAIN);
  CHECK(refusal(dir / "api").code == Code::in_use);
  const UniqueFd datagram(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (dir / "log").copy(address.sun_path, sizeof address.sun_path - 1);
  REQUIRE(bind(datagram.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  CHECK(refusal(dir / "log").code == Code::in_use);
}

TEST_CASE("what is not a socket is never touched") {
  const test::TempDir dir;
  std::ofstream(dir / "file") << "precious";
  fs::create_directory(dir / "dir");
  fs::create_symlink("nowhere", dir / "link");
  for (const char* name : {"file", "dir", "link"}) {
    CAPTURE(name);
    CHECK(refusal(dir / name).code == Code::invalid);
  }
  std::string text;
  std::ifstream(dir / "file") >> text;
  CHECK(text == "precious");
  CHECK(files_in(dir) == 3);
  for (const std::string& bad : {dir / "", dir / ".", dir / "..", std::string()}) {
    CAPTURE(bad);
    CHECK(refusal(bad).code == Code::invalid);
  }
  CHECK(refusal(dir / "no/api").code == Code::missing);
}

TEST_CASE("at the end the path is left alone if it is no longer ours") {
  const test::TempDir dir;
  {
    auto socket = ControlSocket::open(dir / "api");
    REQUIRE(socket);
    fs::remove(dir / "api");
    std::ofstream(dir / "api") << "another's";
  }
  CHECK(fs::exists(dir / "api"));
}

TEST_CASE("a relative path is removed even after the process has moved") {
  const test::TempDir dir;
  const auto before = fs::current_path();
  fs::current_path(dir.path());
  {
    auto socket = ControlSocket::open("api");
    REQUIRE(socket);
    CHECK(fs::exists(dir / "api"));
    fs::current_path(before);
  }
  CHECK(files_in(dir) == 0);
}

TEST_CASE("moving the owner keeps the socket, assigning over it removes it") {
  const test::TempDir dir;
  auto first = ControlSocket::open(dir / "first");
  auto second = ControlSocket::open(dir / "second");
  REQUIRE((first && second));
  ControlSocket moved = std::move(*first);
  CHECK(test::UnixClient(dir / "first").connect_errno() == 0);
  moved = std::move(*second);
  CHECK_FALSE(fs::exists(dir / "first"));
  CHECK(test::UnixClient(dir / "second").connect_errno() == 0);
}

TEST_CASE("orders are taken from our own user and from root") {
  CHECK(peer_allowed(1000, 1000));
  CHECK(peer_allowed(0, 1000));
  CHECK_FALSE(peer_allowed(1001, 1000));
  CHECK_FALSE(peer_allowed(1000, 0));
}

TEST_CASE("where files may be replaced, files and links are, directories and living sockets are not") {
  const test::TempDir dir;
  std::ofstream(dir / "file") << "x";
  fs::create_symlink("/nowhere", dir / "link");
  fs::create_directory(dir / "directory");
  for (const char* name : {"file", "link"}) {
    CAPTURE(name);
    auto socket = ControlSocket::open(dir / name, true);
    REQUIRE(socket);
    CHECK(test::UnixClient(dir / name).connect_errno() == 0);
    auto second = ControlSocket::open(dir / name, true);
    REQUIRE_FALSE(second);
    CHECK(second.error().code == Code::in_use);
  }
  CHECK_FALSE(ControlSocket::open(dir / "directory", true));
  CHECK(files_in(dir) == 1);
}
