// SPDX-License-Identifier: BSD-3-Clause
// Stand-ins as the helper uses them, in a real namespace: who the guest sees, and what is left to the guest.
#include "src/agent/stand_in_stock.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <optional>

#include "tests/agent/guest_service.h"
#include "tests/support/catch.h"

namespace nh {
namespace {

using test::Failed;
using test::Guest;
using test::GuestService;
using test::in_child;
using test::plan;
using test::until;

Endpoint at(const std::string& address, std::uint16_t port) {
  return {.address = EXPECT_OK(Address::parse(address)), .port = port};
}

/// A guest whose agent steers, and what opens stand-ins in it.
struct Lab {
  Guest guest;
  Target target = EXPECT_OK(open_pid_target(guest.text()));
  Attached attached;
  std::unique_ptr<AgentLink> link;
  Loop loop;
  std::vector<std::string> notes;
  std::vector<Error> deaths;
  std::optional<AgentStandIns> stand_ins;

  explicit Lab(bool confined = false) {
    const AgentSetup setup{
        .target = &target, .tap_name = "tap0", .plan = plan(), .sandbox = confined, .seccomp = confined};
    link = EXPECT_OK(test::start_agent(setup, attached));
    link->serve(
        loop, [](const TapState&) {}, [this](const Error& error) { deaths.push_back(error); });
    link->on_note([this](const std::string& text) { notes.push_back(text); });
    stand_ins.emplace(loop, *link);
    stand_ins->start();
  }

  void expect_ready() {
    EXPECT(until(loop, [this] { return stand_ins->state() != StandIns::State::preparing; }));
    if (stand_ins->state() != StandIns::State::ready) throw Failed{stand_ins->reason()};
  }

  Result<UniqueFd> open(const Endpoint& appears, const Endpoint& to) {
    std::optional<Result<UniqueFd>> result;
    stand_ins->open(appears, to, [&](Result<UniqueFd> made) { result.emplace(std::move(made)); });
    EXPECT(until(loop, [&] { return result.has_value(); }));
    return std::move(*result);
  }
  Result<UniqueFd> open_udp(const Endpoint& appears, const Endpoint& to) {
    std::optional<Result<UniqueFd>> result;
    stand_ins->open_udp(appears, to, [&](Result<UniqueFd> made) { result.emplace(std::move(made)); });
    EXPECT(until(loop, [&] { return result.has_value(); }));
    return std::move(*result);
  }
};

constexpr int patience = 10'000;  // ms

std::string receive_line(int fd) {
  std::string line;
  while (line.empty() || line.back() != '\n') {
    pollfd one{.fd = fd, .events = POLLIN, .revents = 0};
    EXPECT(poll(&one, 1, patience) == 1);
    std::array<char, 256> data{};
    const ssize_t size = recv(fd, data.data(), data.size(), 0);
    if (size <= 0) throw Failed{"receiving: " + sys_error("").message()};
    line.append(data.data(), static_cast<std::size_t>(size));
  }
  line.pop_back();
  return line;
}

/// What the guest's service says of a connection from `appears`.
std::string seen_by(Lab& lab, const Endpoint& appears, const Endpoint& to) {
  const UniqueFd fd = EXPECT_OK(lab.open(appears, to));
  return receive_line(fd.get());
}

constexpr std::uint16_t port = 8080;

TEST_CASE("the guest sees a foreign client's own address and port, wherever its program listens") {
  test::require_namespaces();
  CHECK(in_child([] {
          Lab lab;
          const GuestService everywhere(lab.guest, {at("0.0.0.0", port), at("::", port)});
          const GuestService bound(lab.guest, {at("10.0.2.100", 81), at("fd00::100", 81), at("127.0.0.1", 82), at("::1", 82)});
          lab.expect_ready();
          EXPECT(lab.stand_ins->reason().empty());
          // in the guest's ephemeral range, outside of it, and below 1024
          for (const std::uint16_t from : std::array<std::uint16_t, 4>{40001, 61001, 2001, 443}) {
            const Endpoint v4 = at("198.51.100.7", from), v6 = at("2001:db8::7", from);
            EXPECT(seen_by(lab, v4, at("10.0.2.100", port)) == v4.text());
            EXPECT(seen_by(lab, v4, at("10.0.2.100", 81)) == v4.text());
            EXPECT(seen_by(lab, v4, at("127.0.0.1", 82)) == v4.text());
            EXPECT(seen_by(lab, v6, at("fd00::100", port)) == v6.text());
            EXPECT(seen_by(lab, v6, at("fd00::100", 81)) == v6.text());
            EXPECT(seen_by(lab, v6, at("::1", 82)) == v6.text());
          }
          EXPECT(lab.stand_ins->counters().port_let_go == 0);
          EXPECT(lab.notes.empty());
        }) == "");
}

}  // namespace
}  // namespace nh
