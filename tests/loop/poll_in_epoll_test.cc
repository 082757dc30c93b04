// SPDX-License-Identifier: BSD-3-Clause
#include "src/loop/poll_in_epoll.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "src/base/unique_fd.h"
#include "tests/loop/pipe.h"

using namespace nh;
using nh::test::Pipe;

namespace {

const MonotonicClock test_clock;

pollfd entry(int fd) {
  return {.fd = fd, .events = POLLIN, .revents = 0};
}

}  // namespace

TEST_CASE("the array is polled and the epoll's other fds are told apart", "[poll]") {
  const UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  BusyPoll busy(test_clock);
  PollInEpoll poll(epoll.get(), busy);
  const Pipe ours, theirs;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = 77;
  REQUIRE(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, theirs.reader.get(), &event) == 0);
  std::array<pollfd, 1> fds{entry(ours.reader.get())};
  std::vector<epoll_event> others;
  CHECK(poll.wait(fds, 0, 1) == 0);
  theirs.put();
  CHECK(poll.wait(fds, 0, 1) == 0);
  poll.swap_others(others);
  REQUIRE(others.size() == 1);
  CHECK(others[0].data.u64 == 77);
  ours.put();
  CHECK(poll.wait(fds, 0, 1) == 1);
  CHECK(fds[0].revents == POLLIN);
}

TEST_CASE("a number that is another file by now is watched again", "[poll]") {
  const UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  BusyPoll busy(test_clock);
  PollInEpoll poll(epoll.get(), busy);
  Pipe first;
  const Pipe second;
  const int number = first.reader.get();
  std::array<pollfd, 1> fds{entry(number)};
  CHECK(poll.wait(fds, 0, 1) == 0);
  REQUIRE(dup2(second.reader.get(), number) == number);
  second.put();
  CHECK(poll.wait(fds, 0, 2) == 1);
}

TEST_CASE("what leaves the array is told no more", "[poll]") {
  const UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  BusyPoll busy(test_clock);
  PollInEpoll poll(epoll.get(), busy);
  const Pipe a, b;
  std::array<pollfd, 2> both{entry(a.reader.get()), entry(b.reader.get())};
  CHECK(poll.wait(both, 0, 1) == 0);
  a.put();
  std::array<pollfd, 1> one{entry(b.reader.get())};
  CHECK(poll.wait(one, 0, 1) == 0);
  CHECK(one[0].revents == 0);
}

TEST_CASE("a file that epoll refuses is ready as poll has it", "[poll]") {
  const UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  BusyPoll busy(test_clock);
  PollInEpoll poll(epoll.get(), busy);
  char name[] = "/tmp/netns-helper-poll-XXXXXX";
  const UniqueFd file(mkstemp(name));
  unlink(name);
  const Pipe pipe;
  std::array<pollfd, 2> fds{entry(file.get()), entry(pipe.reader.get())};
  CHECK(poll.wait(fds, -1, 1) == 1);
  CHECK(fds[0].revents == POLLIN);
  CHECK(fds[1].revents == 0);
  pipe.put();
  CHECK(poll.wait(fds, -1, 1) == 2);
}
