// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/fd_budget.h"

#include "src/base/limits.h"
#include "tests/support/catch.h"

using namespace nh;

namespace {
struct Waiter final : FdBudget::Waiter {
  void fds_free() override { ++woken; }
  int woken = 0;
};
}  // namespace

TEST_CASE("the budget is what the limit leaves", "[fd_budget]") {
  CHECK(FdBudget::capacity_for(1024, 100) == 1024 - limits::reserved_fds - 100);
  CHECK(FdBudget::capacity_for(limits::reserved_fds, 10) == limits::reserved_fds / 2 - 10);
  CHECK(FdBudget::capacity_for(limits::reserved_fds, 1000) == 0);
}

TEST_CASE("what is not there is not given, and what was taken comes back", "[fd_budget]") {
  FdBudget budget(5);
  CHECK(budget.take(4));
  CHECK_FALSE(budget.take(2));
  CHECK(budget.used() == 4);
  CHECK(budget.take(1));
  budget.give(5);
  CHECK(budget.used() == 0);
}

TEST_CASE("who waits is woken once, when a share is free again", "[fd_budget]") {
  FdBudget budget(320);
  std::vector<bool> told;
  budget.on_limit([&](bool reached) { told.push_back(reached); });
  Waiter waiter, left;
  CHECK(budget.take(320));
  for (int i = 0; i < 3; ++i) {
    CHECK_FALSE(budget.take(1));
    budget.wait(waiter);
    budget.wait(left);
  }
  budget.stop_waiting(left);
  CHECK(told == std::vector{true});
  budget.give(19);
  CHECK(waiter.woken == 0);
  budget.give(1);
  CHECK(waiter.woken == 1);
  CHECK(told == std::vector{true, false});
  budget.give(300);
  CHECK(waiter.woken == 1);
  CHECK(left.woken == 0);
}

TEST_CASE("what stays is not waited for", "[fd_budget]") {
  FdBudget budget(320);
  Waiter waiter;
  auto kept = budget.keep(312);
  REQUIRE(kept);
  CHECK(budget.take(8));
  CHECK_FALSE(budget.take(2));
  budget.wait(waiter);
  budget.give(8);
  CHECK(waiter.woken == 1);
  kept.reset();
  CHECK(budget.used() == 0);
}

TEST_CASE("what is kept is given back once, by whoever has it last", "[fd_budget]") {
  FdBudget budget(5);
  auto first = budget.keep(2);
  REQUIRE(first);
  CHECK_FALSE(budget.keep(4));
  FdBudget::Kept one = std::move(*first);
  first.reset();
  CHECK(budget.used() == 2);
  {
    auto second = budget.keep(1);
    REQUIRE(second);
    one = std::move(*second);
  }
  CHECK(budget.used() == 1);
  one = FdBudget::Kept();
  CHECK(budget.used() == 0);
}
