// SPDX-License-Identifier: BSD-3-Clause
#include "src/netlink/host_networks.h"

#include "tests/support/catch.h"

using namespace nh;

namespace {

Cidr cidr(const char* text) {
  return Cidr::parse(text).value();
}

}  // namespace

TEST_CASE("networks overlap where either contains the other", "[host_networks]") {
  const std::vector<Cidr> hosts{cidr("192.168.7.0/24"), cidr("10.0.2.15/32"), cidr("10.64.0.0/10"), cidr("fd00::/16")};
  CHECK(overlapping(hosts, cidr("10.0.2.0/24")) == cidr("10.0.2.15/32"));
  CHECK(overlapping(hosts, cidr("10.65.3.0/24")) == cidr("10.64.0.0/10"));
  CHECK(overlapping(hosts, cidr("fd00:0:0:7::/64")) == cidr("fd00::/16"));
  CHECK_FALSE(overlapping(hosts, cidr("10.0.3.0/24")));
  CHECK_FALSE(overlapping(hosts, cidr("fd01::/64")));
}

TEST_CASE("the preferred network if it is free, else the next one that is", "[host_networks]") {
  const Cidr preferred = cidr("10.0.2.0/24");
  const auto free = [&preferred](const std::vector<Cidr>& used) { return free_network(preferred, used).text(); };
  CHECK(free({}) == "10.0.2.0/24");
  CHECK(free({cidr("10.0.3.0/24")}) == "10.0.2.0/24");
  CHECK(free({cidr("10.0.2.0/23")}) == "10.0.4.0/24");
  CHECK(free({cidr("10.0.0.0/8")}) == "172.30.0.0/24");
  CHECK(free({cidr("10.0.0.0/8"), cidr("172.16.0.0/12")}) == "192.168.255.0/24");
  CHECK(free({cidr("10.0.0.0/8"), cidr("172.16.0.0/12"), cidr("192.168.0.0/16")}) == "198.18.0.0/24");
  CHECK(free({cidr("10.0.0.0/8"), cidr("172.16.0.0/12"), cidr("192.0.0.0/8"), cidr("198.0.0.0/8")}) == "10.0.2.0/24");
  const Cidr preferred6 = cidr("fd00::/64");
  CHECK(free_network(preferred6, std::vector<Cidr>{cidr("10.0.2.0/24")}) == preferred6);
  CHECK(free_network(preferred6, std::vector<Cidr>{cidr("fd00::/63")}) == cidr("fd00:0:0:2::/64"));
  CHECK(free_network(preferred6, std::vector<Cidr>{cidr("fd00::/8")}) == preferred6);
}
