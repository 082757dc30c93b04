// SPDX-License-Identifier: BSD-3-Clause
// What the agent's tests share: a plan, visits to the guest's namespace, and waiting without sleeping.
#pragma once

#include <fcntl.h>

#include <array>
#include <functional>

#include "src/agent/agent_link.h"
#include "src/linux/fd_passing.h"
#include "src/linux/namespace.h"
#include "tests/support/namespaces.h"

namespace nh::test {

inline constexpr std::array<std::uint8_t, 1> one_byte{1};

inline InterfacePlan plan() {
  InterfacePlan plan;
  plan.v4 = {
      .address = Address::v4(0x0a000264), .prefix = 24, .gateway = Address::v4(0x0a000202), .dns = Address::v4(0x0a000203)};
  plan.v6 = {.address = Address::parse("fd00::100").value(),
             .prefix = 64,
             .gateway = Address::parse("fd00::2").value(),
             .dns = Address::parse("fd00::3").value()};
  return plan;
}

/// Both halves of a start, with nothing in between.
inline Result<std::unique_ptr<AgentLink>> start_agent(const AgentSetup& setup, Attached& ret_attached) {
  Attached attached;
  NH_LET(link, AgentLink::start(setup, attached));
  NH_TRY(link->finish(attached));
  ret_attached = std::move(attached);
  return link;
}

/// Runs `body` in a child that has joined the guest's namespaces.
inline void in_guest(const Guest& guest, const std::function<void()>& body) {
  const std::string failure = in_child([&] {
    const UniqueFd netns = EXPECT_OK(open_namespace(guest.netns(), NamespaceType::net, "netns"));
    const UniqueFd userns = EXPECT_OK(owner_of(netns.get()));
    EXPECT_OK(join_namespace(userns.get(), NamespaceType::user));
    EXPECT_OK(join_namespace(netns.get(), NamespaceType::net));
    body();
  });
  if (!failure.empty()) throw Failed{failure};
}

/// Turns the loop until `done`, for 10 seconds at most.
inline bool until(Loop& loop, const std::function<bool()>& done) {
  bool late = false;
  Timer deadline = loop.timer([&] { late = true; });
  deadline.arm(std::chrono::seconds(10));
  while (!late && !done()) loop.turn(true);
  return done();
}

}  // namespace nh::test
