// SPDX-License-Identifier: BSD-3-Clause
#include "src/base/result.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "src/base/unique_fd.h"
#include "tests/support/catch.h"

using namespace nh;

namespace {
Result<int> half(int value) {
  if (value % 2 != 0) return Error{.code = Code::invalid, .what = "halving an odd number", .field = "value"};
  return value / 2;
}
Result<int> quarter(int value) {
  NH_LET(first, half(value));
  NH_LET(second, half(first));
  return second;
}
Result<> check(int value) {
  NH_TRY(quarter(value));
  return Ok{};
}
bool is_open(int fd) {
  return fcntl(fd, F_GETFD) >= 0;
}
}  // namespace

TEST_CASE("errors travel up with their field", "[result]") {
  CHECK(quarter(8).value() == 2);
  CHECK(quarter(6).error().field == "value");
  CHECK(check(4).ok());
  CHECK(check(5).error().code == Code::invalid);
}

TEST_CASE("an errno gets its code, name and context", "[result]") {
  const Error error = sys_error(EADDRINUSE, "binding 127.0.0.1:80").in("forward 1");
  CHECK(error.code == Code::in_use);
  CHECK(error.message() == "forward 1: binding 127.0.0.1:80: Address already in use (EADDRINUSE)");
  CHECK(Error{.what = "no errno here"}.message() == "no errno here");
  CHECK(code_name(Code::in_use) == "in_use");
}

TEST_CASE("a UniqueFd closes once and keeps errno", "[fd]") {
  int pipe_fds[2];
  REQUIRE(pipe(pipe_fds) == 0);
  {
    UniqueFd first(pipe_fds[0]);
    UniqueFd second = std::move(first);
    CHECK_FALSE(first);
    CHECK(second.get() == pipe_fds[0]);
    errno = EBUSY;
    second = UniqueFd(pipe_fds[1]);
    CHECK(errno == EBUSY);
    CHECK_FALSE(is_open(pipe_fds[0]));
    CHECK(is_open(pipe_fds[1]));
  }
  CHECK_FALSE(is_open(pipe_fds[1]));
}
