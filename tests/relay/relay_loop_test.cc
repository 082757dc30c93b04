// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/relay_loop.h"

#include <functional>

#include "tests/support/catch.h"

using namespace nh;

namespace {

struct Rig {
  ManualClock clock;
  EpollSet epoll = EpollSet::create().value();
  FdBudget fds{16};
  RelayLoop loop{{.epoll = &epoll, .clock = &clock, .fds = &fds, .share = {}}};
};

struct Member final : RelayLoop::Member {
  void run_turn() override {
    ++turns;
    if (on_turn) on_turn();
  }
  void progress_due() override { ++checks; }

  int turns = 0, checks = 0;
  std::function<void()> on_turn;
};

}  // namespace

TEST_CASE("a ready member has one turn a run, also if it is ready again in it", "[relay_loop]") {
  Rig rig;
  Member member, other;
  member.on_turn = [&] { rig.loop.add_ready(member); };
  CHECK(rig.loop.next_deadline() == Instant::max());
  rig.loop.add_ready(member);
  rig.loop.add_ready(member);
  rig.loop.add_ready(other);
  CHECK(rig.loop.next_deadline() == Instant{});
  rig.loop.run();
  CHECK(member.turns == 1);
  CHECK(other.turns == 1);
  CHECK(rig.loop.next_deadline() == Instant{});
  rig.loop.run();
  CHECK(member.turns == 2);
  CHECK(other.turns == 1);
  rig.loop.remove(member);
  rig.loop.run();
  CHECK(member.turns == 2);
  CHECK(rig.loop.next_deadline() == Instant::max());
}

TEST_CASE("a member that another one's turn removes has none", "[relay_loop]") {
  Rig rig;
  Member first, second;
  first.on_turn = [&] { rig.loop.remove(second); };
  rig.loop.add_ready(first);
  rig.loop.add_ready(second);
  rig.loop.run();
  CHECK(first.turns == 1);
  CHECK(second.turns == 0);
}

TEST_CASE("a run moves limits::relay_turn bytes at most", "[relay_loop]") {
  Rig rig;
  RelayBytes rule;
  rig.loop.count_moved(rule, true, 1000);
  CHECK(rig.loop.turn_left() == limits::relay_turn - 1000);
  rig.loop.count_moved(rule, false, limits::relay_turn);
  CHECK(rig.loop.turn_left() == 0);
  CHECK(rule.to_guest == 1000);
  CHECK(rule.to_host == limits::relay_turn);
  CHECK(rig.loop.counters().bytes_to_guest.value() == 1000);
  CHECK(rig.loop.counters().bytes_to_host.value() == limits::relay_turn);
  rig.loop.run();
  CHECK(rig.loop.turn_left() == limits::relay_turn);
}

TEST_CASE("progress is checked once, limits::relay_last_bytes later, unless the member is removed", "[relay_loop]") {
  Rig rig;
  Member member, removed;
  const Instant due = rig.clock.now() + limits::relay_last_bytes;
  rig.loop.check_progress(member);
  rig.loop.check_progress(removed);
  CHECK(rig.loop.next_deadline() == due);
  rig.loop.run();
  CHECK(member.checks == 0);
  rig.loop.remove(removed);
  rig.clock.advance(limits::relay_last_bytes);
  rig.loop.run();
  CHECK(member.checks == 1);
  CHECK(removed.checks == 0);
  CHECK(rig.loop.next_deadline() == Instant::max());
}
