// SPDX-License-Identifier: BSD-3-Clause
#include "src/loop/signals.h"

#include <csignal>

#include "tests/support/catch.h"

using namespace nh;

TEST_CASE("what nohup(1) and a shell's background jobs ignore stays ignored, and does not come", "[signals]") {
  sigset_t before;
  REQUIRE(sigprocmask(SIG_SETMASK, nullptr, &before) == 0);
  for (const int number : {SIGHUP, SIGINT, SIGQUIT}) {
    std::signal(number, SIG_IGN);
    const UniqueFd fd = take_signals({SIGTERM, SIGHUP, SIGINT, SIGQUIT}).value();
    raise(number);
    CHECK(next_signal(fd) == 0);
    CHECK(std::signal(number, SIG_DFL) == SIG_IGN);
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
}

TEST_CASE("signals come by the fd, whatever the parent had left blocked or ignored", "[signals]") {
  sigset_t all, before;
  sigfillset(&all);
  REQUIRE(sigprocmask(SIG_BLOCK, &all, &before) == 0);
  std::signal(SIGCHLD, SIG_IGN);
  const UniqueFd fd = take_signals({SIGTERM, SIGINT}).value();
  CHECK(next_signal(fd) == 0);
  raise(SIGTERM);
  CHECK(next_signal(fd) == SIGTERM);
  CHECK(next_signal(fd) == 0);
  CHECK(std::signal(SIGCHLD, SIG_DFL) == SIG_DFL);
  CHECK(std::signal(SIGPIPE, SIG_IGN) == SIG_IGN);
  CHECK(std::signal(SIGXFSZ, SIG_IGN) == SIG_IGN);
  sigset_t now;
  REQUIRE(sigprocmask(SIG_SETMASK, nullptr, &now) == 0);
  CHECK(sigismember(&now, SIGTERM) == 1);
  CHECK(sigismember(&now, SIGUSR1) == 0);
  sigprocmask(SIG_SETMASK, &before, nullptr);
}
