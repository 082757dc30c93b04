// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/forward_spec.h"

#include "tests/support/catch.h"

namespace nh {
namespace {

TEST_CASE("every form of a forward is understood") {
  struct Row {
    const char *text, *full;
  };
  const Row row =
      GENERATE(Row{"8080:80", "127.0.0.1:8080:80/tcp"}, Row{"8080:80/udp", "127.0.0.1:8080:80/udp"},
               Row{"0.0.0.0:8080:80", "0.0.0.0:8080:80/tcp"},
               Row{"8080:10.0.2.100:80/tcp", "127.0.0.1:8080:10.0.2.100:80/tcp"},
               Row{"[::]:0:53/udp", "[::]:0:53/udp"},
               Row{"[::1]:1:[fd00::100]:65535", "[::1]:1:[fd00::100]:65535/tcp"},
               Row{"127.0.0.2:8080:127.0.0.1:80", "127.0.0.2:8080:127.0.0.1:80/tcp"},
               Row{"8080:[fd00::100]:80/udp", "127.0.0.1:8080:[fd00::100]:80/udp"});
  INFO(row.text);
  auto spec = ForwardSpec::parse(row.text);
  REQUIRE(spec);
  CHECK(spec->text() == row.full);
  auto again = ForwardSpec::parse(spec->text());
  REQUIRE(again);
  CHECK(again->text() == row.full);
}

TEST_CASE("a forward that is none names the part at fault") {
  struct Row {
    const char *text, *field;
  };
  const Row row = GENERATE(
      Row{"", "forward"}, Row{"80", "forward"}, Row{"1:2:3:4:5", "forward"},
      Row{"::1:80:80", "forward"}, Row{"8080:80/sctp", "protocol"}, Row{"8080:80/", "protocol"},
      Row{"8080:80/UDP", "protocol"}, Row{"70080:80", "host_port"}, Row{"-1:80", "host_port"},
      Row{"+1:80", "host_port"}, Row{" 1:80", "host_port"}, Row{"0x50:80", "host_port"},
      Row{":80", "host_port"}, Row{"8080:0", "guest_port"}, Row{"8080:65536", "guest_port"},
      Row{"8080:", "guest_port"}, Row{"8080:80 ", "guest_port"},
      Row{"localhost:8080:80", "host_address"}, Row{":8080:80", "host_address"},
      Row{"1:2:3", "host_address"}, Row{"224.0.0.1:8080:80", "host_address"},
      Row{"255.255.255.255:8080:80", "host_address"}, Row{"[1.2.3.4]:8080:80", "host_address"},
      Row{"[::ffff:1.2.3.4]:8080:80", "host_address"}, Row{"[::1:8080:80", "forward"},
      Row{"8080:[::1:80", "guest_port"}, Row{"8080:0.0.0.0:80", "guest_address"},
      Row{"8080:[::]:80", "guest_address"}, Row{"8080:[ff02::1]:80", "guest_address"},
      Row{"127.0.0.1:8080:web:80", "guest_address"});
  INFO(row.text);
  const auto spec = ForwardSpec::parse(row.text);
  REQUIRE_FALSE(spec);
  CHECK(spec.error().code == Code::invalid);
  CHECK(spec.error().field == row.field);
  CHECK(spec.error().what.find(row.field) == 0);
}

}  // namespace
}  // namespace nh
