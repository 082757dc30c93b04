// SPDX-License-Identifier: BSD-3-Clause
// What badly behaved clients do to the control server: nothing.
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "src/base/limits.h"
#include "tests/control/server_fixture.h"

using namespace nh;
using namespace nh::test;

namespace {

std::size_t open_fds() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

}  // namespace

TEST_CASE("a silent client is let go after its time, others are served meanwhile") {
  for (const Dialect dialect : {Dialect::native, Dialect::slirp4netns}) {
    Server server(dialect);
    UnixClient silent(server.path), blank(server.path);
    turn(server.loop);
    for (int i = 0; i < 10; ++i) {
      blank.send(" \n");  // white space is nothing said
      turn(server.loop, 3);
    }
    server.advance(limits::control_idle - std::chrono::seconds(1));
    CHECK(server.server->clients() == 2);
    UnixClient other(server.path);
    other.send(list);
    CHECK_FALSE(other.line(server.loop).empty());
    server.pass(std::chrono::seconds(1));
    CHECK(silent.all(server.loop).empty());
    CHECK(blank.all(server.loop).empty());
    CHECK(server.server->counters().idle_ended == 2);
    CHECK(server.server->clients() == 0);
  }
}

TEST_CASE("a request that comes byte by byte has a deadline from its first byte") {
  Server server;
  UnixClient slow(server.path);
  const std::string request = "{\"execute\":\"list_hostfwd\"}";
  const Duration step = Duration(limits::control_request_time) / 10;
  for (std::size_t i = 0; i < 9; ++i) {
    slow.send(request.substr(i, 1));
    turn(server.loop, 3);
    server.clock.advance(step);
  }
  CHECK(server.server->clients() == 1);
  server.pass(step);
  CHECK(slow.all(server.loop) ==
        R"({"error":{"code":"timeout","desc":"bad request: cannot parse JSON: the request was not complete within 5 s"}})"
        "\n");
  CHECK(server.server->counters().slow_ended == 1);
}

TEST_CASE("byte by byte but in time is served") {
  Server server;
  UnixClient slow(server.path);
  for (const char c : list_id) {
    slow.send(std::string(1, c));
    turn(server.loop, 3);
  }
  CHECK(slow.line(server.loop) == "{\"return\":{\"entries\":[]},\"id\":1}\n");
}

TEST_CASE("a client that never reads holds one reply, is not read from, and is let go") {
  Server server;
  fill(server.rules, limits::forwards);
  UnixClient deaf(server.path);
  std::string many;
  for (int i = 0; i < 1000; ++i) many += list_id;
  deaf.send(list_id.substr(0, 5));
  turn(server.loop);
  server.advance(limits::control_request_time - std::chrono::seconds(2));
  deaf.send(list_id.substr(5));
  ssize_t sent = 0;
  for (int round = 0; round < 100; ++round) {
    const ssize_t size = deaf.send(many);
    if (size > 0) sent += size;
    turn(server.loop, 5);
  }
  CHECK(sent < 2'000'000);  // the kernel's buffers and one turn of ours, not a hundred rounds
  CHECK(server.server->counters().requests == 1);
  UnixClient other(server.path);
  other.send(R"({"execute":"info"})");
  CHECK(other.line(server.loop).ends_with("}\n"));

  server.advance(limits::control_reply_time - std::chrono::seconds(1));
  CHECK(server.server->counters().unread_ended == 0);
  server.pass(std::chrono::seconds(1));
  CHECK(server.server->counters().unread_ended == 1);
  CHECK(server.server->clients() <= 1);
  CHECK(server.alive());
}

TEST_CASE("clients beyond the limit are closed at once, and there is room again when one leaves") {
  Server server;
  std::vector<UnixClient> crowd;
  for (std::size_t i = 0; i < limits::control_clients + 100; ++i) {
    crowd.emplace_back(server.path);
    REQUIRE(crowd.back().connect_errno() == 0);
    turn(server.loop, 3);
  }
  CHECK(server.server->clients() == limits::control_clients);
  CHECK(server.server->counters().refused_full == 100);
  for (std::size_t i = 0; i < crowd.size(); ++i) {
    crowd[i].take();
    CHECK(crowd[i].ended() == (i >= limits::control_clients));
  }
  CHECK_FALSE(server.alive());
  crowd.erase(crowd.begin());
  turn(server.loop);
  CHECK(server.alive());
}

TEST_CASE("descriptors that come along are not taken") {
  Server server;
  UnixClient client(server.path);
  turn(server.loop);
  int pair[2];
  REQUIRE(pipe2(pair, O_CLOEXEC | O_NONBLOCK) == 0);
  const UniqueFd reader(pair[0]);
  UniqueFd writer(pair[1]);
  const std::size_t before = open_fds();
  for (int round = 0; round < 20; ++round) {
    std::string text = round % 2 == 0 ? list_id : "\n";
    iovec part{text.data(), text.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 200)] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * 200);
    for (int i = 0; i < 200; ++i) {
      const int fd = writer.get();
      memcpy(CMSG_DATA(header) + sizeof(int) * static_cast<std::size_t>(i), &fd, sizeof fd);
    }
    REQUIRE(sendmsg(client.fd(), &message, MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
    turn(server.loop, 5);
  }
  CHECK(client.line(server.loop).ends_with("\"id\":1}\n"));
  CHECK(server.server->counters().fds_refused == 20);
  CHECK(open_fds() == before);
  writer.reset();
  char byte;
  CHECK(read(reader.get(), &byte, 1) == 0);  // no copy of the writer lives on
}

TEST_CASE("without a free descriptor clients wait, and the loop does not spin") {
  Server server;
  UnixClient waiting(server.path);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const UniqueFd lowest(fcntl(0, F_DUPFD_CLOEXEC, 0));  // every fd below it is in use
  const rlimit none{static_cast<rlim_t>(lowest.get()) + 1, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  turn(server.loop, 100);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(server.server->counters().accept_errors == 1);
  CHECK(server.server->clients() == 0);
  // The pause is real time; the clock of the server says that it is over.
  server.clock.advance(limits::control_accept_pause);
  waiting.send(list_id);
  const Instant patience = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (waiting.received().empty() && std::chrono::steady_clock::now() < patience) {
    server.loop.turn(false);
    waiting.take();
  }
  CHECK(waiting.line(server.loop).ends_with("\"id\":1}\n"));
}

TEST_CASE("a client of another user is turned away") {
  if (geteuid() != 0) {
    WARN("SKIPPED: needs root to become another user");
    return;
  }
  Server server;
  // Let the other user get as far as the check itself.
  REQUIRE(chmod(server.dir.path().c_str(), 0711) == 0);
  REQUIRE(chmod(server.path.c_str(), 0666) == 0);
  const pid_t child = fork();
  if (child == 0) {
    if (setresuid(12345, 12345, 12345) != 0) _exit(9);
    UnixClient stranger(server.path);
    if (stranger.connect_errno() != 0) _exit(8);
    stranger.send(add_80);
    pollfd wait{stranger.fd(), POLLIN, 0};
    if (poll(&wait, 1, 10000) != 1) _exit(7);
    stranger.take();
    _exit(stranger.received().empty() ? 0 : 6);
  }
  REQUIRE(child > 0);
  int status = -1;
  const Instant patience = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (waitpid(child, &status, WNOHANG) == 0 && std::chrono::steady_clock::now() < patience) server.loop.turn(false);
  CHECK(status == 0);
  CHECK(server.server->counters().refused_uid == 1);
  CHECK(server.rules.entries.empty());
}
