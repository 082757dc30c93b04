// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/plan/address_plan.h"

#include "tests/support/catch.h"
#include "tests/support/frames.h"

using namespace nh;
using namespace nh::test;

namespace {

Result<AddressPlan> make(std::string_view v4, std::string_view v6 = "", unsigned mtu = 1500) {
  std::optional<Cidr> cidr6;
  if (!v6.empty()) cidr6 = Cidr::parse(v6).value();
  return AddressPlan::make(Cidr::parse(v4).value(), cidr6, mtu);
}

std::string fault_field(const Result<AddressPlan>& plan) {
  return plan ? "" : plan.error().field;
}

}  // namespace

TEST_CASE("addresses are where slirp4netns has them") {
  const AddressPlan plan = make("10.0.2.0/24", "fd00::/64").value();
  CHECK(plan.v4.gateway.text() == "10.0.2.2");
  CHECK(plan.v4.dns.text() == "10.0.2.3");
  CHECK(plan.v4.guest.text() == "10.0.2.100");
  CHECK(plan.dhcp_start.text() == "10.0.2.15");
  REQUIRE(plan.v6);
  CHECK(plan.v6->gateway.text() == "fd00::2");
  CHECK(plan.v6->dns.text() == "fd00::3");
  CHECK(plan.v6->guest.text() == "fd00::100");
  CHECK(make("10.0.135.128/25")->v4.guest.text() == "10.0.135.228");
  CHECK(make("10.41.0.0/16")->v4.guest.text() == "10.41.0.100");
}

TEST_CASE("networks that cannot work are refused by field") {
  for (const char* cidr : {"10.0.2.0/26", "10.0.2.0/32", "0.0.0.0/0", "127.0.0.0/8", "127.5.0.0/16", "0.0.0.0/8",
                           "169.254.0.0/16", "224.0.0.0/8", "240.0.0.0/8", "fd00::/64"}) {
    INFO(cidr);
    CHECK(fault_field(make(cidr)) == "cidr");
  }
  for (const char* cidr6 : {"fd00::/63", "fd00::/65", "fd00::/126", "fe80::/64", "ff02::/64", "::/64", "10.0.2.0/24"}) {
    INFO(cidr6);
    CHECK(fault_field(make("10.0.2.0/24", cidr6)) == "cidr6");
  }
  for (const unsigned mtu : {0u, 67u, 65522u}) CHECK(fault_field(make("10.0.2.0/24", "", mtu)) == "mtu");
  for (const unsigned mtu : {68u, 65521u}) CHECK(make("10.0.2.0/24", "", mtu).ok());
}

TEST_CASE("IPv6 needs an MTU of 1280") {
  CHECK(!make("10.0.2.0/24", "fd00::/64", 1279)->v6);
  CHECK(make("10.0.2.0/24", "fd00::/64", 1280)->v6);
  CHECK(make("10.0.2.0/24", "fd00::/64", 1279)->net(Family::v6) == nullptr);
}

TEST_CASE("our addresses are gateway and DNS, link-local twins included") {
  const AddressPlan plan = test::plan();
  for (const char* ours : {"10.0.2.2", "10.0.2.3", "fd00::2", "fd00::3", "fe80::2", "fe80::3"})
    CHECK(plan.is_ours(addr(ours)));
  for (const char* other : {"10.0.2.1", "10.0.2.100", "fd00::100", "fd00::1", "fe80::1", "::2"})
    CHECK(!plan.is_ours(addr(other)));
}

TEST_CASE("our frames come from the MAC that libslirp uses") {
  CHECK(AddressPlan::gateway_mac(addr("10.0.2.2")).text() == "52:55:0a:00:02:02");
  CHECK(AddressPlan::gateway_mac(addr("fd00::2")).text() == "52:56:00:00:00:02");
}
