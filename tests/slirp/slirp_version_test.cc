// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/slirp/slirp_version.h"

#include "tests/support/catch.h"

using namespace nh;

TEST_CASE("libslirp versions are read and compared", "[slirp]") {
  CHECK(SlirpVersion::parse("4.7.0") == SlirpVersion{4, 7, 0});
  CHECK(SlirpVersion::parse("4.10.2-git") == SlirpVersion{4, 10, 2});
  CHECK(SlirpVersion::parse("4.9") == SlirpVersion{4, 9, 0});
  CHECK(SlirpVersion::parse("junk") == SlirpVersion{});
  CHECK(SlirpVersion::parse("4.9.2") < SlirpVersion::parse("4.10.0"));
}

TEST_CASE("each version is told its own faults", "[slirp]") {
  CHECK(known_faults({4, 7, 0}).size() == 3);
  CHECK(known_faults({4, 8, 0}).size() == 1);
  CHECK(known_faults({4, 9, 1}).size() == 1);
  CHECK(known_faults({4, 9, 2}).empty());
}
