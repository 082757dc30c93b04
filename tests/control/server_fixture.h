// SPDX-License-Identifier: BSD-3-Clause
// A control server that is served by the test's own thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "src/control/control_server.h"
#include "tests/control/fake_rules.h"
#include "tests/control/temp_dir.h"
#include "tests/control/unix_client.h"
#include "tests/support/catch.h"

namespace nh::test {

/// A control server in a directory of its own, over forwards in memory; time stands still until it
/// is moved.
struct Server {
  explicit Server(Dialect dialect = Dialect::native) {
    auto opened = ControlServer::open(
        loop,
        {.path = path, .dialect = dialect, .rules = rules, .events = events, .info = sample_info, .stats = sample_stats},
        clock);
    REQUIRE(opened);
    server = std::move(*opened);
  }
  /// Moves the clock, and has the timer armed anew by an event: a client that comes and goes.
  void advance(Duration time) {
    clock.advance(time);
    {
      const UnixClient passer(path);
      turn(loop);
    }
    turn(loop);
  }
  /// Moves the clock to a deadline, and lets the timer notice.
  void pass(Duration time) {
    advance(time - std::chrono::milliseconds(5));
    clock.advance(std::chrono::milliseconds(5));
    // The timer is due in 5 ms of real time.
    const auto clients = server->clients();
    const Instant patience = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (server->clients() == clients && std::chrono::steady_clock::now() < patience) loop.turn(false);
    turn(loop);
  }
  /// A client that speaks properly is served.
  bool alive() {
    UnixClient client(path);
    client.send("{\"execute\":\"list_hostfwd\",\"id\":\"alive\"}\n");
    return client.line(loop).find("\"id\":\"alive\"}") != std::string::npos;
  }

  TempDir dir;
  std::string path = dir / "api";
  Loop loop;
  ManualClock clock;
  EventBus events{clock};
  FakeRules rules;
  std::unique_ptr<ControlServer> server;
};

/// Puts that many forwards into force, for long replies.
inline void fill(FakeRules& rules, std::size_t count) {
  const auto spec = RuleSpec::parse("10.1.2.3:10000:10.0.2.100:20000");
  REQUIRE(spec);
  for (std::size_t i = 0; i < count; ++i) REQUIRE(rules.add({*spec}));
}

inline const std::string add_80 = R"({"execute":"add_hostfwd","arguments":{"proto":"tcp","host_port":80,"guest_port":80}})";
inline const std::string list = R"({"execute":"list_hostfwd"})";
inline const std::string list_id = R"({"execute":"list_hostfwd","id":1})";

}  // namespace nh::test
