// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/client_address.h"

#include "tests/support/catch.h"
#include "tests/support/frames.h"

namespace nh::test {
namespace {

Endpoint seen(std::string_view client, std::uint16_t port = 5000, Family guest = Family::v4) {
  return as_seen_by_guest(at(client, port), guest, plan(), {addr("192.168.7.1"), addr("2001:db8::9")});
}

TEST_CASE("a client from elsewhere keeps its address and port") {
  CHECK(seen("192.0.2.7") == at("192.0.2.7", 5000));
  CHECK(seen("192.0.2.7", 53) == at("192.0.2.7", 53));
  CHECK(seen("2001:db8::7", 5000, Family::v6) == at("2001:db8::7", 5000));
}

TEST_CASE("a client whose address means something else to the guest appears as the gateway") {
  const auto v4 = GENERATE("127.0.0.1", "127.9.9.9", "0.0.0.0", "169.254.1.1", "224.0.0.1", "255.255.255.255", "10.0.2.2",
                           "10.0.2.3", "10.0.2.77", "192.168.7.1", "2001:db8::7", "::1");
  CHECK(seen(v4) == at("10.0.2.2", 5000));
  const auto v6 = GENERATE("::1", "::", "fe80::1", "ff02::1", "fd00::2", "fd00::77", "2001:db8::9", "192.0.2.7");
  CHECK(seen(v6, 5000, Family::v6) == at("fd00::2", 5000));
}

TEST_CASE("libslirp's own ports at the gateway are left to it") {
  CHECK(seen("127.0.0.1", 67) == at("10.0.2.2", 0));
  CHECK(seen("127.0.0.1", 1024) == at("10.0.2.2", 1024));
}

}  // namespace
}  // namespace nh::test
