// SPDX-License-Identifier: BSD-3-Clause
#include "src/loop/loop.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "src/base/unique_fd.h"
#include "tests/loop/pipe.h"

using namespace nh;
using nh::test::Pipe;

TEST_CASE("a watch is called while its fd is ready, and not after it was reset", "[loop]") {
  Loop loop;
  const Pipe pipe;
  int calls = 0;
  Watch watch = loop.watch(pipe.reader.get(), POLLIN, [&](IoEvents events) {
    CHECK((events & POLLIN) != 0);
    ++calls;
  });
  loop.turn(false);
  CHECK(calls == 0);
  pipe.put();
  loop.turn(false);
  loop.turn(false);
  CHECK(calls == 2);
  watch.set_events(0);
  loop.turn(false);
  CHECK(calls == 2);
  watch.set_events(POLLIN);
  loop.turn(false);
  CHECK(calls == 3);
  watch.reset();
  loop.turn(false);
  CHECK(calls == 3);
}

TEST_CASE("a paused watch does not spin on a hang-up", "[loop]") {
  Loop loop;
  Pipe pipe;
  int calls = 0;
  Watch watch = loop.watch(pipe.reader.get(), 0, [&](IoEvents) { ++calls; });
  pipe.writer.reset();
  loop.turn(false);
  CHECK(calls == 0);
}

TEST_CASE("a watch may end itself from inside its callback", "[loop]") {
  Loop loop;
  const Pipe pipe;
  int calls = 0;
  Watch watch;
  watch = loop.watch(pipe.reader.get(), POLLIN, [&](IoEvents) {
    ++calls;
    watch.reset();
  });
  pipe.put();
  loop.turn(false);
  loop.turn(false);
  CHECK(calls == 1);
}

TEST_CASE("a timer fires once for each time it is armed", "[loop]") {
  Loop loop;
  int calls = 0;
  Timer timer = loop.timer([&] { ++calls; });
  loop.turn(false);
  CHECK(calls == 0);
  timer.arm(Duration(0));
  loop.turn(true);
  loop.turn(false);
  CHECK(calls == 1);
  timer.arm(std::chrono::milliseconds(1));
  loop.turn(true);  // waits for nothing else
  loop.turn(false);
  CHECK(calls == 2);
  timer.arm(std::chrono::hours(1));
  timer.disarm();
  loop.turn(false);
  CHECK(calls == 2);
}

TEST_CASE("a deadline is asked for before each wait", "[loop]") {
  Loop loop;
  Instant next = Instant::max();
  int calls = 0;
  Timer timer = loop.deadline([&] { return next; },
                              [&] {
                                ++calls;
                                next = Instant::max();
                              });
  loop.turn(false);
  CHECK(calls == 0);
  next = loop.clock().now() + std::chrono::milliseconds(1);
  loop.turn(true);
  loop.turn(false);
  CHECK(calls == 1);
}

TEST_CASE("run gives the code of the first quit", "[loop]") {
  Loop loop;
  Timer timer = loop.timer([&] {
    loop.quit(3);
    loop.quit(4);
  });
  timer.arm(Duration(0));
  CHECK(loop.run() == 3);
}
