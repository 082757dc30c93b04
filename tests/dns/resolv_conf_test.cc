// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/dns/resolv_conf.h"

#include <net/if.h>

#include "src/base/limits.h"
#include "tests/support/catch.h"
#include "tests/support/frames.h"

namespace nh::test {
namespace {

std::vector<std::string> read(std::string_view text) {
  std::vector<std::string> servers;
  for (const NameServer& server : parse_resolv_conf(text)) servers.push_back(server.address.text());
  return servers;
}

TEST_CASE("nameserver lines are taken in order, each once") {
  CHECK(read("nameserver 192.0.2.1\nnameserver\t2001:db8::1  \nsearch example\nnameserver "
             "192.0.2.1\n") == std::vector<std::string>{"192.0.2.1", "2001:db8::1"});
  CHECK(read("nameserver 192.0.2.1 # first\nnameserver 192.0.2.2;second\r\nnameserver 192.0.2.3") ==
        std::vector<std::string>{"192.0.2.1", "192.0.2.2", "192.0.2.3"});
}

TEST_CASE("what is no nameserver line is skipped") {
  const auto garbage =
      GENERATE("# nameserver 192.0.2.9\n", ";nameserver 192.0.2.9\n", " nameserver 192.0.2.9\n", "nameserver192.0.2.9\n",
               "nameserver\n", "nameserver \n", "nameserver localhost\n", "nameserver 192.0.2\n", "nameserver 1.2.3.4%lo\n",
               "nameserver fe80::1%no-such-if\n", "nameserver fe80::1%\n", "options ndots:5\n", "\n\n\n");
  INFO(garbage);
  CHECK(read(std::string(garbage) + "nameserver 192.0.2.1\n") == std::vector<std::string>{"192.0.2.1"});
  CHECK(read(std::string(garbage) + std::string("\0\xff\n", 3)) == std::vector<std::string>{"127.0.0.1"});
}

TEST_CASE("scopes are interface names or numbers") {
  const auto servers = parse_resolv_conf("nameserver fe80::1%lo\nnameserver fe80::2%7\n");
  REQUIRE(servers.size() == 2);
  CHECK(servers[0] == NameServer{addr("fe80::1"), if_nametoindex("lo")});
  CHECK(servers[1] == NameServer{addr("fe80::2"), 7});
}

TEST_CASE("no more servers than the limit; none means 127.0.0.1") {
  std::string text;
  for (int i = 1; i <= 20; ++i) text += "nameserver 192.0.2." + std::to_string(i) + "\n";
  CHECK(read(text).size() == limits::dns_resolvers);
  CHECK(read("") == std::vector<std::string>{"127.0.0.1"});
  CHECK(read_resolv_conf("/nonexistent/resolv.conf") == std::vector<NameServer>{{addr("127.0.0.1")}});
  CHECK(read_resolv_conf("/tmp") == std::vector<NameServer>{{addr("127.0.0.1")}});
}

}  // namespace
}  // namespace nh::test
