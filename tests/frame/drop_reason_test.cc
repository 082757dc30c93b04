// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/frame/drop_reason.h"

#include <set>

#include "tests/support/catch.h"

TEST_CASE("every reason has a name of its own") {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < nh::drop_reasons; ++i) {
    const std::string_view name = nh::drop_reason_name(static_cast<nh::DropReason>(i));
    CHECK(name != "unknown");
    names.insert(name);
  }
  CHECK(names.size() == nh::drop_reasons);
}
