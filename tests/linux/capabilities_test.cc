// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/capabilities.h"

#include "tests/support/catch.h"
#include "tests/support/namespaces.h"

namespace nh {
namespace {

using test::in_child;

/// CAP_NET_BIND_SERVICE (10), CAP_NET_ADMIN (12), CAP_NET_RAW (13), as /proc/PID/status writes sets.
constexpr const char* network_only = "0000000000003400";
constexpr const char* none = "0000000000000000";

std::string field_of(const std::string& status, const std::string& name) {
  const std::size_t start = status.find(name + ":\t");
  if (start == std::string::npos) return "";
  const std::size_t value = start + name.size() + 2;
  return status.substr(value, status.find('\n', value) - value);
}

TEST_CASE("three capabilities are kept, every other set is empty") {
  test::require_namespaces();
  CHECK(in_child([] {
          test::enter_new_namespaces();
          EXPECT_OK(keep_network_capabilities());
          const std::string status = test::read_file("/proc/self/status");
          EXPECT(field_of(status, "CapPrm") == network_only);
          EXPECT(field_of(status, "CapEff") == network_only);
          EXPECT(field_of(status, "CapBnd") == network_only);
          EXPECT(field_of(status, "CapInh") == none);
          EXPECT(field_of(status, "CapAmb") == none);
          EXPECT(field_of(status, "NoNewPrivs") == "1");
        }) == "");
}

}  // namespace
}  // namespace nh
