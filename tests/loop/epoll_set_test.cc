// SPDX-License-Identifier: BSD-3-Clause
#include "src/loop/epoll_set.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <functional>

#include "tests/loop/pipe.h"

using namespace nh;
using nh::test::Pipe;

namespace {
struct Handler : EpollSet::Handler {
  std::function<void(std::uint32_t)> callback;
  int calls = 0;
  void on_ready(int, std::uint32_t events) override {
    ++calls;
    if (callback) callback(events);
  }
};
}  // namespace

TEST_CASE("the loop dispatches what is ready in the set, also after the set was moved", "[epoll]") {
  Loop loop;
  EpollSet set = EpollSet::create(loop).value();
  EpollSet moved = std::move(set);
  const Pipe pipe;
  Handler handler;
  REQUIRE(moved.add(pipe.reader.get(), EPOLLIN, handler).ok());
  loop.turn(false);
  CHECK(handler.calls == 0);
  REQUIRE(write(pipe.writer.get(), "x", 1) == 1);
  loop.turn(false);
  CHECK(handler.calls == 1);
  moved.remove(pipe.reader.get());
  loop.turn(false);
  CHECK(handler.calls == 1);
}

TEST_CASE("the set keeps an fd whose number was the loop's own until this turn", "[epoll]") {
  Loop loop;
  EpollSet set = EpollSet::create(loop).value();
  Pipe first;
  const Pipe second;
  const int number = first.reader.get();
  Watch watch = loop.watch(number, POLLIN, [](IoEvents) {});
  loop.turn(false);  // the loop registers it
  first.reader.reset();
  watch.reset();
  const UniqueFd spare(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const UniqueFd again(dup2(second.reader.get(), number));
  REQUIRE(again.get() == number);
  Handler handler;
  REQUIRE(set.add(number, EPOLLIN, handler).ok());
  loop.turn(false);
  second.put();
  loop.turn(false);
  CHECK(handler.calls == 1);
  set.remove(number);
}

TEST_CASE("a set without a loop is waited in by whoever dispatches", "[epoll]") {
  EpollSet set = EpollSet::create().value();
  const Pipe pipe;
  Handler handler;
  REQUIRE(set.add(pipe.reader.get(), EPOLLIN, handler).ok());
  CHECK_FALSE(set.dispatch());
  CHECK_FALSE(set.dispatch(1));
  REQUIRE(write(pipe.writer.get(), "x", 1) == 1);
  CHECK(set.dispatch(-1));
  CHECK(handler.calls == 1);
}

TEST_CASE("an event of the same batch for a removed or reused fd is skipped", "[epoll]") {
  Loop loop;
  EpollSet set = EpollSet::create(loop).value();
  Pipe first, second;
  Handler one, two, late;
  const auto end_other = [&](Pipe& other, std::uint32_t) {
    const int fd = other.reader.get();
    set.remove(fd);
    other.reader.reset();
    // The number is free now: give it to a pipe end that is ready too, but was not when the batch was collected.
    const UniqueFd spare(open("/dev/null", O_RDONLY | O_CLOEXEC));
    REQUIRE(dup2(first.writer.get(), fd) == fd);
    other.reader.reset(fd);
    REQUIRE(set.add(fd, EPOLLOUT, late).ok());
  };
  one.callback = [&](std::uint32_t events) { end_other(second, events); };
  two.callback = [&](std::uint32_t events) { end_other(first, events); };
  REQUIRE(set.add(first.reader.get(), EPOLLIN, one).ok());
  REQUIRE(set.add(second.reader.get(), EPOLLIN, two).ok());
  REQUIRE(write(first.writer.get(), "x", 1) == 1);
  REQUIRE(write(second.writer.get(), "x", 1) == 1);
  set.dispatch();
  CHECK(one.calls + two.calls == 1);
  CHECK(late.calls == 0);
}
