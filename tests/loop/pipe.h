// SPDX-License-Identifier: BSD-3-Clause
// A non-blocking pipe: something to wait for.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include "src/base/unique_fd.h"
#include "tests/support/catch.h"

namespace nh::test {

struct Pipe {
  UniqueFd reader, writer;
  Pipe() {
    int fds[2];
    REQUIRE(pipe2(fds, O_NONBLOCK | O_CLOEXEC) == 0);
    reader.reset(fds[0]);
    writer.reset(fds[1]);
  }
  void put() const { REQUIRE(write(writer.get(), "x", 1) == 1); }
};

}  // namespace nh::test
