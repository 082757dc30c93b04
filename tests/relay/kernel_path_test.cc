// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/kernel_path.h"

#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/kernel_paths.h"

using namespace nh;
using namespace nh::test;

namespace {

using Phase = KernelPathState::Phase;

struct Change {
  Phase before, now;
  friend bool operator==(const Change&, const Change&) = default;
};

}  // namespace

TEST_CASE("a subscriber is told of changes only, with the value before", "[kernel_path]") {
  KernelPath path;
  std::vector<Change> told;
  auto subscription = path.subscribe([&](const KernelPathState& before, const KernelPathState& now) {
    told.push_back({before.phase, now.phase});
  });
  path.set(KernelPathState());
  CHECK(told.empty());
  path.set(kernel_path_state(Phase::ready));
  path.set(kernel_path_state(Phase::ready));
  path.set(kernel_path_state(Phase::off));
  CHECK(told == std::vector<Change>{{Phase::preparing, Phase::ready}, {Phase::ready, Phase::off}});
  subscription = {};
  path.set(kernel_path_state(Phase::ready));
  CHECK(told.size() == 2);
}

TEST_CASE("what a subscriber sets is told when all have heard of the change before", "[kernel_path]") {
  KernelPath path;
  std::vector<Change> first, second;
  const auto one = path.subscribe([&](const KernelPathState& before, const KernelPathState& now) {
    first.push_back({before.phase, now.phase});
    if (now.phase == Phase::ready) path.set(kernel_path_state(Phase::off));
  });
  const auto other = path.subscribe([&](const KernelPathState& before, const KernelPathState& now) {
    second.push_back({before.phase, now.phase});
  });
  path.set(kernel_path_state(Phase::ready));
  const std::vector<Change> all{{Phase::preparing, Phase::ready}, {Phase::ready, Phase::off}};
  CHECK(first == all);
  CHECK(second == all);
}

TEST_CASE("a subscription may be ended by who is told", "[kernel_path]") {
  KernelPath path;
  int first = 0, second = 0;
  KernelPath::Subscription one, other;
  one = path.subscribe([&](const KernelPathState&, const KernelPathState&) {
    ++first;
    one = {};
    other = {};
  });
  other = path.subscribe([&](const KernelPathState&, const KernelPathState&) { ++second; });
  path.set(kernel_path_state(Phase::ready));
  path.set(kernel_path_state(Phase::off));
  CHECK(first == 1);
  CHECK(second == 0);
}

TEST_CASE("the kernel path says what it takes, and why not the rest", "[kernel_path]") {
  KernelPathState state;
  CHECK_FALSE(state.takes_outbound(Family::v4));
  CHECK(state.outbound_reason() == "the guest is being prepared");
  state = kernel_path_state(Phase::ready);
  CHECK((state.takes_outbound(Family::v4) && state.takes_outbound(Family::v6) && state.takes_forwards(Family::v6)));
  CHECK(state.outbound_reason().empty());
  CHECK(state.forwards_reason().empty());
  SECTION("a family that was proved, but whose stand-ins do not get through") {
    state.unreached.v6 = true;
    CHECK((state.takes_outbound(Family::v4) && !state.takes_outbound(Family::v6) && state.takes_forwards(Family::v6)));
    CHECK(state.outbound_reason() == "IPv6: a stand-in did not reach the guest");
  }
  SECTION("a family that the guest does not have is worth no words, one that fails is") {
    state.steering.v6 = {};
    CHECK(state.forwards_reason().empty());
    state.steering.v4 = {.serves_reason = "refused", .dials = true};
    CHECK_FALSE(state.takes_forwards(Family::v4));
    CHECK(state.forwards_reason() == "IPv4: refused");
    CHECK(state.outbound_reason().empty());
  }
  SECTION("ports that are not kept") {
    state.ports_kept = false;
    CHECK(state.forwards_reason().find("not their port") != std::string::npos);
    CHECK(state.outbound_reason().empty());
  }
  SECTION("nothing") {
    state = kernel_path_state(Phase::off);
    CHECK(state.forwards_reason() == "the agent is lost");
    CHECK(state.outbound_reason() == "the agent is lost");
  }
}
