// SPDX-License-Identifier: BSD-3-Clause
#include "src/loop/busy_poll.h"

#include <array>
#include <functional>

#include "src/base/unique_fd.h"
#include "tests/loop/pipe.h"

using namespace nh;
using namespace std::chrono_literals;
using nh::test::Pipe;

namespace {

/// A clock that advances by a step with each reading.
class Ticking final : public Clock {
 public:
  Instant now() const override {
    if (at_read) at_read();
    now_ += step;
    return now_;
  }
  void advance(Duration by) { now_ += by; }

  Duration step = 10us;
  std::function<void()> at_read;

 private:
  mutable Instant now_{1h};
};

struct Bench {
  Bench() {
    epoll_event event{};
    event.events = EPOLLIN;
    REQUIRE(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, pipe.reader.get(), &event) == 0);
    busy.set_window(200us);
  }
  int wait(int timeout_ms = 1) { return busy.wait(epoll.get(), events, timeout_ms); }
  /// A wait that finds an event on its third poll.
  int find() {
    clock.at_read = [this, reads = 0]() mutable {
      if (++reads == 3) pipe.put();
    };
    const int count = wait();
    clock.at_read = nullptr;
    char byte = 0;
    if (count == 1) CHECK(read(pipe.reader.get(), &byte, 1) == 1);
    return count;
  }

  const UniqueFd epoll{epoll_create1(EPOLL_CLOEXEC)};
  Ticking clock;
  BusyPoll busy{clock};
  Pipe pipe;
  std::array<epoll_event, 4> events{};
};

}  // namespace

TEST_CASE("an event within the window is found without a sleep", "[busy_poll]") {
  Bench bench;
  CHECK(bench.find() == 1);
  CHECK(bench.busy.polls() == 1);
  CHECK(bench.busy.sleeps() == 0);
}

TEST_CASE("an event that is ready at once costs no polling", "[busy_poll]") {
  Bench bench;
  bench.pipe.put();
  CHECK(bench.wait() == 1);
  CHECK(bench.wait(0) == 1);
  CHECK(bench.busy.polls() == 0);
}

TEST_CASE("without a window, and with a timeout of 0, it does not poll", "[busy_poll]") {
  Bench bench;
  CHECK(bench.wait(0) == 0);
  bench.busy.set_window(Duration::zero());
  CHECK(bench.wait() == 0);
  CHECK(bench.busy.polls() == 0);
  CHECK(bench.busy.sleeps() == 1);
}

TEST_CASE("polling backs off exponentially after misses, and a success resets that", "[busy_poll]") {
  Bench bench;
  // Polls in waits 1, 3, 7, 15, 31, 63, 127 and 191.
  constexpr int waits = 200;
  for (int i = 0; i < waits; ++i) CHECK(bench.wait() == 0);
  CHECK(bench.busy.polls() == 8);
  CHECK(bench.busy.sleeps() == waits);

  int found = 0;
  for (unsigned i = 0; i <= BusyPoll::max_skipped && found == 0; ++i) found = bench.find();
  CHECK(found == 1);
  CHECK(bench.busy.polls() == 9);
  CHECK(bench.wait() == 0);  // a miss: the next wait does not poll
  CHECK(bench.wait() == 0);
  CHECK(bench.busy.polls() == 10);
  CHECK(bench.wait() == 0);
  CHECK(bench.busy.polls() == 11);
}

TEST_CASE("successes that cost more than their credit are misses", "[busy_poll]") {
  Bench bench;
  bench.clock.step = 60us;  // found after 120 us
  constexpr int waits = 200;
  for (int i = 0; i < waits; ++i) bench.find();
  CHECK(bench.busy.polls() == 8);
}

TEST_CASE("quick successes earn credit for a late one", "[busy_poll]") {
  Bench bench;
  constexpr unsigned quick = 10;
  for (unsigned i = 0; i < quick; ++i) CHECK(bench.find() == 1);
  bench.clock.step = 60us;
  CHECK(bench.find() == 1);
  CHECK(bench.find() == 1);
  CHECK(bench.busy.polls() == quick + 2);
}

TEST_CASE("polling pauses while the processor is contended", "[busy_poll]") {
  Bench bench;
  auto pause = BusyPoll::shortest_pause;
  for (const unsigned polls :
       {1u, 2u, 3u}) {  // each is the first poll since, and finds the processor contended: the pause doubles
    bench.clock.step = 2 * BusyPoll::contended;
    CHECK(bench.wait() == 0);
    CHECK(bench.busy.polls() == polls);
    bench.clock.step = 10us;
    bench.clock.advance(pause / 2);
    for (int i = 0; i < 10; ++i) CHECK(bench.wait() == 0);
    CHECK(bench.busy.polls() == polls);
    bench.clock.advance(pause / 2);
    pause *= 2;
  }
  CHECK(bench.find() == 1);  // not contended: the next pause is the shortest again
  bench.clock.step = 2 * BusyPoll::contended;
  CHECK(bench.wait() == 0);
  bench.clock.step = 10us;
  bench.clock.advance(BusyPoll::shortest_pause);
  CHECK(bench.find() == 1);
}
