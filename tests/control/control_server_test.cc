// SPDX-License-Identifier: BSD-3-Clause
// What well-behaved clients of the control server get.
#include <filesystem>

#include "src/base/limits.h"
#include "tests/control/server_fixture.h"

using namespace nh;
using namespace nh::test;

TEST_CASE("any number of requests on one native connection, answered in order") {
  Server server;
  UnixClient client(server.path);
  for (int id = 0; id < 100; ++id) {
    client.send("{\"execute\":\"list_hostfwd\",\"id\":" + std::to_string(id) + "}\n");
    CHECK(client.line(server.loop) == "{\"return\":{\"entries\":[]},\"id\":" + std::to_string(id) + "}\n");
  }
  std::string many;
  for (int id = 0; id < 500; ++id) many += "{\"execute\":\"list_hostfwd\",\"id\":" + std::to_string(id) + "}";
  REQUIRE(client.send(many) == static_cast<ssize_t>(many.size()));
  for (int id = 0; id < 500; ++id)
    REQUIRE(client.line(server.loop) == "{\"return\":{\"entries\":[]},\"id\":" + std::to_string(id) + "}\n");
  CHECK(server.server->clients() == 1);
  CHECK(server.server->counters().requests == 600);
}

TEST_CASE("a native connection stays native, whatever its later requests look like") {
  Server server;
  UnixClient client(server.path);
  client.send(list_id);
  CHECK(client.line(server.loop) == "{\"return\":{\"entries\":[]},\"id\":1}\n");
  for (int i = 0; i < 2; ++i) {
    client.send(list);
    CHECK(client.line(server.loop) == "{\"return\":{\"entries\":[]},\"entries\":[]}\n");
  }
  CHECK(server.server->clients() == 1);
}

TEST_CASE("one turn answers one request, so that frames get theirs") {
  Server server;
  UnixClient client(server.path);
  std::string many;
  for (int i = 0; i < 100; ++i) many += list_id;
  turn(server.loop);
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
      turn(server.loop, 5);
      client.send(request.substr(cut));
      CHECK(client.all(server.loop) == "{\"return\":{\"id\":" + std::to_string(cut + 1) + "}}");
    }
    CHECK(server.rules.entries.size() == request.size() + 1);
  }
}

TEST_CASE("slirp4netns's clients get their reply and the end of file, however they end their request") {
  for (const Dialect dialect : {Dialect::native, Dialect::slirp4netns}) {
    Server server(dialect);
    for (const bool newline : {false, true}) {
      for (const bool half_close : {false, true}) {
        if (dialect == Dialect::native && newline && !half_close) continue;  // a native client: it stays connected
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
  turn(server.loop);
  CHECK(server.rules.entries.size() == 1);
  CHECK(server.server->clients() == 0);
  CHECK(server.alive());
}

TEST_CASE("half a request at the end of a connection is an error") {
  Server server;
  UnixClient client(server.path);
  client.send("{\"execute\":");
  client.half_close();
  CHECK(client.all(server.loop) ==
        R"({"error":{"code":"invalid","desc":"bad request: cannot parse JSON: the request ends before its object does"}})"
        "\n");
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

TEST_CASE("the end of the server ends its clients and removes its path") {
  Server server;
  UnixClient client(server.path);
  turn(server.loop);
  server.server.reset();
  client.take();
  CHECK(client.ended());
  CHECK_FALSE(std::filesystem::exists(server.path));
  turn(server.loop);
}
