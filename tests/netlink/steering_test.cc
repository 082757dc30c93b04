// SPDX-License-Identifier: BSD-3-Clause
#include "src/netlink/steering.h"

#include "src/netlink/link.h"
#include "tests/support/catch.h"
#include "tests/support/namespaces.h"

namespace nh {
namespace {
using test::in_child;
TEST_CASE("try") {
  test::require_namespaces();
  CHECK(in_child([] {
    test::enter_new_namespaces();
    auto route = EXPECT_OK(NlSocket::connect());
    auto nft = EXPECT_OK(NlSocket::connect(NETLINK_NETFILTER));
    if (system("ip link set lo up")) {}
    const std::vector<Address> addresses{Address::v4(0x0a000264), Address::parse("fd00::100").value()};
    {
      auto steering = EXPECT_OK(Steering::set_up(route, nft, 1, addresses));
      if (system("ip rule; ip route show table all proto 78; ip -6 rule; ip -6 route show table all proto 78; nft list ruleset; nft --debug=netlink list ruleset")) {}
      if (system("nft flush ruleset; nft list tables; ip rule flush; ip -6 rule flush;ip rule")) {}
      for (auto& m : EXPECT_OK(steering.repair())) puts(m.c_str());
      EXPECT(EXPECT_OK(steering.repair()).empty());
    }
      if (system("echo GONE; ip rule; ip route show table all proto 78; ip -6 rule; ip -6 route show table all proto 78; nft list ruleset")) {}
  }) == "");
}
}
}
