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
  for (const NameServer& server : parse_resolv_conf(text).servers) servers.push_back(server.address.text());
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
  const auto servers = parse_resolv_conf("nameserver fe80::1%lo\nnameserver fe80::2%7\n").servers;
  REQUIRE(servers.size() == 2);
  CHECK(servers[0] == NameServer{addr("fe80::1"), if_nametoindex("lo")});
  CHECK(servers[1] == NameServer{addr("fe80::2"), 7});
}

TEST_CASE("options that say how servers are asked are taken") {
  using std::chrono::seconds;
  const auto options = [](const std::string& text) { return parse_resolv_conf(text).options; };
  const ResolverOptions none;
  CHECK(options("nameserver 192.0.2.1\n") == none);
  CHECK(options("options use-vc\n") == ResolverOptions{.use_vc = true});
  CHECK(options("options\tndots:5  use-vc\trotate \r\n") == ResolverOptions{.use_vc = true, .rotate = true});
  CHECK(options("options timeout:3\noptions attempts:4") == ResolverOptions{.timeout = seconds(3), .attempts = 4});
  CHECK(options("options timeout:3\noptions timeout:4") == ResolverOptions{.timeout = seconds(4)});
  CHECK(options("options timeout:99 attempts:4294967295") == ResolverOptions{.timeout = seconds(30), .attempts = 5});
  CHECK(options("options timeout:0 attempts:0") == ResolverOptions{.timeout = seconds(1), .attempts = 1});
  for (const char* other :
       {"option use-vc", "options # use-vc", "options ;rotate", "#options use-vc", " options use-vc", "options",
        "optionsuse-vc", "options use-vc2 no-use-vc", "options timeout: attempts:x timeout:-1 attempts",
        "options edns0 trust-ad single-request no-aaaa"}) {
    INFO(other);
    CHECK(options(other) == none);
  }
}

TEST_CASE("no more servers than the limit; none means 127.0.0.1") {
  std::string text;
  for (int i = 1; i <= 20; ++i) text += "nameserver 192.0.2." + std::to_string(i) + "\n";
  CHECK(read(text).size() == limits::dns_resolvers);
  CHECK(read("") == std::vector<std::string>{"127.0.0.1"});
  CHECK(read_resolv_conf("/nonexistent/resolv.conf").servers == std::vector<NameServer>{{addr("127.0.0.1")}});
  CHECK(read_resolv_conf("/tmp").servers == std::vector<NameServer>{{addr("127.0.0.1")}});
}

}  // namespace
}  // namespace nh::test
