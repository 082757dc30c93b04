// SPDX-License-Identifier: BSD-3-Clause
// What clients do to the control server over a real socket, well and badly behaved ones.
#include "src/control/control_server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "src/base/limits.h"
#include "tests/control/fake_rules.h"
#include "tests/control/temp_dir.h"
#include "tests/control/unix_client.h"
#include "tests/support/catch.h"

using namespace nh;
using test::UnixClient;

namespace {

struct Server {
  explicit Server(Dialect dialect = Dialect::native) {
    auto opened = ControlServer::open(
        loop, {.path = path, .dialect = dialect, .rules = rules, .info = test::sample_info}, clock);
    REQUIRE(opened);
    server = std::move(*opened);
  }
  /// Moves the clock, and has the timer armed anew by an event: a client that comes and goes.
  void advance(Duration time) {
    clock.advance(time);
    {
      const UnixClient passer(path);
      test::turn(loop);
    }
    test::turn(loop);
  }
  /// Moves the clock to a deadline, and lets the timer notice.
  void pass(Duration time) {
    advance(time - std::chrono::milliseconds(5));
    clock.advance(std::chrono::milliseconds(5));
    // The timer is due in 5 ms of real time.
    const auto clients = server->clients();
    const Instant patience = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    while (server->clients() == clients && std::chrono::steady_clock::now() < patience)
      loop.turn(false);
    test::turn(loop);
  }
  /// A client that speaks properly is served.
  bool alive() {
    UnixClient client(path);
    client.send("{\"execute\":\"list_hostfwd\",\"id\":\"alive\"}\n");
    return client.line(loop).find("\"id\":\"alive\"}") != std::string::npos;
  }

  test::TempDir dir;
  std::string path = dir / "api";
  Loop loop;
  ManualClock clock;
  test::FakeRules rules;
  std::unique_ptr<ControlServer> server;
};

const std::string add_80 =
    R"({"execute":"add_hostfwd","arguments":{"proto":"tcp","host_port":80,"guest_port":80}})";
const std::string list = R"({"execute":"list_hostfwd"})";
const std::string list_id = R"({"execute":"list_hostfwd","id":1})";

std::size_t open_fds() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

void fill(test::FakeRules& rules, std::size_t count) {
  const auto spec = ForwardSpec::parse("10.1.2.3:10000:10.0.2.100:20000");
  REQUIRE(spec);
  for (std::size_t i = 0; i < count; ++i) REQUIRE(rules.add(*spec));
}

}  // namespace

TEST_CASE("any number of requests on one native connection, answered in order") {
  Server server;
  UnixClient client(server.path);
  for (int id = 0; id < 100; ++id) {
    client.send("{\"execute\":\"list_hostfwd\",\"id\":" + std::to_string(id) + "}\n");
    CHECK(client.line(server.loop) ==
          "{\"return\":{\"entries\":[]},\"id\":" + std::to_string(id) + "}\n");
  }
  std::string many;
  for (int id = 0; id < 500; ++id)
    many += "{\"execute\":\"list_hostfwd\",\"id\":" + std::to_string(id) + "}";
  REQUIRE(client.send(many) == static_cast<ssize_t>(many.size()));
  for (int id = 0; id < 500; ++id)
    REQUIRE(client.line(server.loop) ==
            "{\"return\":{\"entries\":[]},\"id\":" + std::to_string(id) + "}\n");
  CHECK(server.server->clients() == 1);
  CHECK(server.server->counters().requests == 600);
}

TEST_CASE("one turn answers one request, so that frames get theirs") {
  Server server;
  UnixClient client(server.path);
  std::string many;
  for (int i = 0; i < 100; ++i) many += list_id;
  test::turn(server.loop);
  client.send(many);
  server.loop.turn(false);
  CHECK(server.server->counters().requests == 1);
  server.loop.turn(false);
  CHECK(server.server->counters().requests == 2);
}

TEST_CASE("a request split at every place is one request") {
  for (const Dialect dialect : {Dialect::native, Dialect::slirp4netns}) {
    Server server(dialect);
    const std::string request = "  " + add_80;
    for (std::size_t cut = 0; cut <= request.size(); ++cut) {
      UnixClient client(server.path);
      client.send(request.substr(0, cut));
      test::turn(server.loop, 5);
      client.send(request.substr(cut));
      CHECK(client.all(server.loop) == "{\"return\":{\"id\":" + std::to_string(cut + 1) + "}}");
    }
    CHECK(server.rules.entries.size() == request.size() + 1);
  }
}

TEST_CASE(
    "slirp4netns's clients get their reply and the end of file, however they end their request") {
  for (const Dialect dialect : {Dialect::native, Dialect::slirp4netns}) {
    Server server(dialect);
    for (const bool newline : {false, true}) {
      for (const bool half_close : {false, true}) {
        if (dialect == Dialect::native && newline && !half_close)
          continue;  // a native client: it stays connected
        CAPTURE(static_cast<int>(dialect), newline, half_close);
        UnixClient client(server.path);
        client.send(list + (newline ? "\n" : ""));
        if (half_close) client.half_close();
        std::string reply = client.all(server.loop);
        if (dialect == Dialect::native && newline) {
          REQUIRE(reply.ends_with('\n'));
          reply.pop_back();
        }
        CHECK(reply == R"({"return":{"entries":[]},"entries":[]})");
      }
    }
  }
}

TEST_CASE(
    "under slirp4netns's name a connection carries one request, the rest is thrown away without a "
    "reset") {
  Server server(Dialect::slirp4netns);
  UnixClient client(server.path);
  client.send(add_80 + add_80 + std::string(100000, ' '));
  CHECK(client.all(server.loop) == R"({"return":{"id":1}})");
  CHECK(server.rules.entries.size() == 1);
  CHECK(server.server->clients() == 0);
}

TEST_CASE("slirp4netns's limit of one read holds") {
  Server server(Dialect::slirp4netns);
  UnixClient client(server.path);
  client.send("{\"execute\":\"" + std::string(4096, 'x') + "\"}");
  CHECK(client.all(server.loop) == R"({"error":{"desc":"bad request: too large message"}})");
}

TEST_CASE("a client that is gone before its reply harms nobody, and its request was carried out") {
  Server server;
  {
    UnixClient client(server.path);
    client.send(add_80 + "\n");
  }
  test::turn(server.loop);
  CHECK(server.rules.entries.size() == 1);
  CHECK(server.server->clients() == 0);
  CHECK(server.alive());
}

TEST_CASE("half a request at the end of a connection is an error") {
  Server server;
  UnixClient client(server.path);
  client.send("{\"execute\":");
  client.half_close();
  CHECK(
      client.all(server.loop) ==
      R"({"error":{"code":"invalid","desc":"bad request: cannot parse JSON: the request ends before its object does"}})"
      "\n");
}

TEST_CASE("a silent client is let go after its time, others are served meanwhile") {
  for (const Dialect dialect : {Dialect::native, Dialect::slirp4netns}) {
    Server server(dialect);
    UnixClient silent(server.path), blank(server.path);
    test::turn(server.loop);
    for (int i = 0; i < 10; ++i) {
      blank.send(" \n");  // white space is nothing said
      test::turn(server.loop, 3);
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
    test::turn(server.loop, 3);
    server.clock.advance(step);
  }
  CHECK(server.server->clients() == 1);
  server.pass(step);
  CHECK(
      slow.all(server.loop) ==
      R"({"error":{"code":"timeout","desc":"bad request: cannot parse JSON: the request was not complete within 5 s"}})"
      "\n");
  CHECK(server.server->counters().slow_ended == 1);
}

TEST_CASE("byte by byte but in time is served") {
  Server server;
  UnixClient slow(server.path);
  for (const char c : list_id) {
    slow.send(std::string(1, c));
    test::turn(server.loop, 3);
  }
  CHECK(slow.line(server.loop) == "{\"return\":{\"entries\":[]},\"id\":1}\n");
}

TEST_CASE("a client that never reads holds one reply, is not read from, and is let go") {
  Server server;
  fill(server.rules, limits::forwards);
  UnixClient deaf(server.path);
  std::string many;
  for (int i = 0; i < 1000; ++i) many += list_id;
  ssize_t sent = 0;
  for (int round = 0; round < 100; ++round) {
    const ssize_t size = deaf.send(many);
    if (size > 0) sent += size;
    test::turn(server.loop, 5);
  }
  CHECK(sent < 2'000'000);  // the kernel's buffers and one turn of ours, not a hundred rounds
  CHECK(server.server->counters().requests == 1);
  UnixClient other(server.path);
  other.send(R"({"execute":"info"})");
  CHECK(other.line(server.loop).ends_with("}\n"));

  server.pass(limits::control_reply_time);
  CHECK(server.server->counters().unread_ended == 1);
  CHECK(server.server->clients() <= 1);
  CHECK(server.alive());
}

TEST_CASE("a reply larger than the socket's buffer arrives whole") {
  for (const Dialect dialect : {Dialect::native, Dialect::slirp4netns}) {
    Server server(dialect);
    fill(server.rules, limits::forwards);
    UnixClient client(server.path);
    client.send(list);
    const std::string reply = client.all(server.loop);
    CHECK(reply.size() > 800'000);
    CHECK(
        reply.ends_with("\"id\":4096,\"proto\":\"tcp\",\"host_addr\":\"10.1.2.3\",\"host_port\":"
                        "10000,\"guest_addr\":\"10.0.2.100\",\"guest_port\":20000}]}"));
  }
}

TEST_CASE("clients beyond the limit are closed at once, and there is room again when one leaves") {
  Server server;
  std::vector<UnixClient> crowd;
  for (std::size_t i = 0; i < limits::control_clients + 100; ++i) {
    crowd.emplace_back(server.path);
    REQUIRE(crowd.back().connect_errno() == 0);
    test::turn(server.loop, 3);
  }
  CHECK(server.server->clients() == limits::control_clients);
  CHECK(server.server->counters().refused_full == 100);
  for (std::size_t i = 0; i < crowd.size(); ++i) {
    crowd[i].take();
    CHECK(crowd[i].ended() == (i >= limits::control_clients));
  }
  CHECK_FALSE(server.alive());
  crowd.erase(crowd.begin());
  test::turn(server.loop);
  CHECK(server.alive());
}

TEST_CASE("descriptors that come along are not taken") {
  Server server;
  UnixClient client(server.path);
  test::turn(server.loop);
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
    test::turn(server.loop, 5);
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
  test::turn(server.loop, 100);
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
  while (waitpid(child, &status, WNOHANG) == 0 && std::chrono::steady_clock::now() < patience)
    server.loop.turn(false);
  CHECK(status == 0);
  CHECK(server.server->counters().refused_uid == 1);
  CHECK(server.rules.entries.empty());
}

TEST_CASE("the end of the server ends its clients and removes its path") {
  Server server;
  UnixClient client(server.path);
  test::turn(server.loop);
  server.server.reset();
  client.take();
  CHECK(client.ended());
  CHECK_FALSE(std::filesystem::exists(server.path));
  test::turn(server.loop);
}
