// SPDX-License-Identifier: BSD-3-Clause
#include "src/base/address.h"

#include <netinet/in.h>

#include <cstring>

#include "tests/support/catch.h"

using namespace nh;

namespace {
Address addr(const char* text) {
  return Address::parse(text).value();
}
}  // namespace

TEST_CASE("addresses are parsed and printed", "[address]") {
  for (const char* text : {"0.0.0.0", "10.0.2.100", "255.255.255.255", "::", "::1", "fd00::2", "::ffff:1.2.3.4", "fe80::1"})
    CHECK(addr(text).text() == text);
  for (const char* text :
       {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", " 1.2.3.4", "1.2.3.4 ", "fd00::2%eth0", "[::1]", "fd00:::2", "localhost"}) {
    const auto result = Address::parse(text, "dns");
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().field == "dns");
    CHECK(result.error().code == Code::invalid);
  }
  const std::string with_nul("1.2.3.4\0x", 9);
  CHECK_FALSE(Address::parse(with_nul).ok());
}

TEST_CASE("the class of an address", "[address]") {
  CHECK(addr("127.0.0.1").is_loopback());
  CHECK(addr("127.255.255.254").is_loopback());
  CHECK(addr("::1").is_loopback());
  CHECK_FALSE(addr("::2").is_loopback());
  CHECK_FALSE(addr("128.0.0.1").is_loopback());
  CHECK(addr("224.0.0.1").is_multicast());
  CHECK(addr("239.1.1.1").is_multicast());
  CHECK_FALSE(addr("240.0.0.1").is_multicast());
  CHECK(addr("ff02::1").is_multicast());
  CHECK(addr("169.254.169.254").is_link_local());
  CHECK(addr("fe80::1").is_link_local());
  CHECK(addr("febf::1").is_link_local());
  CHECK_FALSE(addr("fec0::1").is_link_local());
  CHECK(addr("255.255.255.255").is_broadcast());
  CHECK(addr("::ffff:127.0.0.1").is_v4_mapped());
  CHECK_FALSE(addr("127.0.0.1").is_v4_mapped());
  CHECK(addr("::127.0.0.1").is_v4_compatible());
  CHECK_FALSE(addr("::1").is_v4_compatible());
  CHECK_FALSE(addr("::").is_v4_compatible());
}

TEST_CASE("an IPv4 address is not its v4-mapped form", "[address]") {
  CHECK(addr("1.2.3.4") != addr("::ffff:1.2.3.4"));
  CHECK(addr("1.2.3.4").bytes().size() == 4);
  CHECK(addr("::ffff:1.2.3.4").bytes().size() == 16);
}

TEST_CASE("networks", "[address]") {
  const Cidr net = Cidr::parse("10.0.135.128/25").value();
  CHECK(net.host(100).text() == "10.0.135.228");
  CHECK(net.last().text() == "10.0.135.255");
  CHECK(net.contains(addr("10.0.135.129")));
  CHECK_FALSE(net.contains(addr("10.0.135.127")));
  CHECK_FALSE(net.contains(addr("::ffff:10.0.135.129")));
  const Cidr odd = Cidr::parse("10.0.2.0/23").value();
  CHECK(odd.contains(addr("10.0.3.255")));
  CHECK_FALSE(odd.contains(addr("10.0.4.0")));
  CHECK(Cidr::parse("fd00::/64").value().host(0x100).text() == "fd00::100");
  CHECK(Cidr::parse("0.0.0.0/0").value().contains(addr("8.8.8.8")));
  for (const char* text : {"10.0.2.0", "10.0.2.1/24", "10.0.2.0/33", "fd00::1/64", "fd00::/129", "/24", "10.0.2.0/",
                           "10.0.2.0/-1", "10.0.2.0/2 4"}) {
    INFO(text);
    const auto result = Cidr::parse(text);
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().field == "cidr");
  }
  CHECK(Cidr::parse("10.0.2.100/24").error().what.find("10.0.2.0/24") != std::string::npos);
}

TEST_CASE("MAC addresses", "[address]") {
  CHECK(MacAddress::parse("02:00:5e:10:00:Ff").value().text() == "02:00:5e:10:00:ff");
  for (const char* text : {"", "02:00:00:00:00", "02:00:00:00:00:01:", "02-00-00-00-00-01", "01:00:5e:00:00:01",
                           "00:00:00:00:00:00", "0g:00:00:00:00:01"})
    CHECK_FALSE(MacAddress::parse(text).ok());
}

TEST_CASE("socket addresses there and back", "[address]") {
  for (const char* text : {"10.0.2.100", "fd00::2"}) {
    const Endpoint endpoint{addr(text), 8080};
    CHECK(SockAddr(endpoint).endpoint().value() == endpoint);
  }
  CHECK(SockAddr(Endpoint{addr("::ffff:1.2.3.4"), 80}).endpoint().value().text() == "1.2.3.4:80");
  CHECK((Endpoint{addr("fd00::2"), 80}.text()) == "[fd00::2]:80");
  SockAddr unix_address;
  unix_address.storage.ss_family = AF_UNIX;
  CHECK(unix_address.endpoint().error().code == Code::unsupported);
}

TEST_CASE("an address of a prefix and a MAC, as in RFC 4291 appendix A", "[address]") {
  const MacAddress mac = MacAddress::parse("34:56:78:9a:bc:de").value();
  CHECK(eui64_address(Address::parse("fe80::2").value(), mac).text() == "fe80::3656:78ff:fe9a:bcde");
  CHECK(eui64_address(Address::parse("fd00::100").value(), MacAddress::parse("02:00:00:00:00:07").value()).text() ==
        "fd00::ff:fe00:7");
}
