// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/nofile.h"

#include <sys/resource.h>

#include "tests/support/catch.h"

namespace nh {
namespace {

TEST_CASE("the soft limit of descriptors becomes the hard one") {
  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = 100;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  const auto raised = raise_nofile_limit();
  REQUIRE(raised);
  CHECK(*raised == limit.rlim_max);
  REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK(limit.rlim_cur == limit.rlim_max);
}

}  // namespace
}  // namespace nh
