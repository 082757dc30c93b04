// SPDX-License-Identifier: BSD-3-Clause
// A guest whose agent steers, and stand-ins in it, as the helper uses them.
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <optional>
#include <string>
#include <vector>

#include "src/agent/stand_in_stock.h"
#include "tests/agent/guest_service.h"

namespace nh::test {

inline Endpoint at(const std::string& address, std::uint16_t port) {
  return {.address = EXPECT_OK(Address::parse(address)), .port = port};
}

/// A guest whose agent steers, and what opens stand-ins in it.
struct StandInLab {
  Guest guest;
  Target target = EXPECT_OK(open_pid_target(guest.text()));
  Attached attached;
  std::unique_ptr<AgentLink> link;
  Loop loop;
  std::vector<std::string> notes;
  std::vector<Error> deaths;
  KernelPath path;
  std::optional<AgentStandIns> stand_ins;

  explicit StandInLab(bool confined = false) {
    const AgentSetup setup{.target = &target, .tap_name = "tap0", .plan = plan(), .sandbox = confined, .seccomp = confined};
    link = EXPECT_OK(test::start_agent(setup, attached));
    link->serve(
        loop, [](const TapState&) {}, [this](const Error& error) { deaths.push_back(error); });
    link->on_note([this](const std::string& text) { notes.push_back(text); });
    stand_ins.emplace(loop, *link, path);
    stand_ins->start({});
  }

  void expect_ready() {
    EXPECT(until(loop, [this] { return path.now().phase != KernelPathState::Phase::preparing; }));
    if (path.now().phase != KernelPathState::Phase::ready) throw Failed{path.now().off_reason};
  }

  Result<UniqueFd> open(const Endpoint& guest_peer, const Endpoint& to) {
    std::optional<Result<UniqueFd>> result;
    auto opening = stand_ins->open(guest_peer, to, StandIns::Port::may_change,
                                   [&](Result<UniqueFd> made) { result.emplace(std::move(made)); });
    return outcome(std::move(opening), result);
  }
  Result<UniqueFd> open_udp(const Endpoint& guest_peer, const Endpoint& to) {
    std::optional<Result<UniqueFd>> result;
    auto opening = stand_ins->open_udp(guest_peer, to, [&](Result<UniqueFd> made) { result.emplace(std::move(made)); });
    return outcome(std::move(opening), result);
  }

 private:
  /// It is given at once and `later` is never set, or the other way round.
  Result<UniqueFd> outcome(StandIns::Opening opening, std::optional<Result<UniqueFd>>& later) {
    EXPECT(!later);
    EXPECT(opening.result.has_value() == (opening.ticket == 0));
    if (opening.result) return std::move(*opening.result);
    EXPECT(until(loop, [&] { return later.has_value(); }));
    return std::move(*later);
  }
};

inline constexpr int patience = 10'000;  // ms

inline std::string receive_line(int fd) {
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

/// What the guest's service says of a connection from `guest_peer`.
inline std::string seen_by(StandInLab& lab, const Endpoint& guest_peer, const Endpoint& to) {
  const UniqueFd fd = EXPECT_OK(lab.open(guest_peer, to));
  return receive_line(fd.get());
}

}  // namespace nh::test
