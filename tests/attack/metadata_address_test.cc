// SPDX-License-Identifier: BSD-3-Clause
// Frames of a raw socket to addresses that the guest's kernel would never send out: the cloud's
// metadata service, the host's loopback by its many names. Expected: refused by default, whatever
// the protocol.
#include "netstack/plan/reachability.h"
#include "tests/support/catch.h"
#include "tests/support/frames.h"

using namespace nh;
using namespace nh::test;

TEST_CASE("no frame reaches the metadata service or the host's loopback") {
  const Reachability reachability(plan(), {});
  for (const char* to : {"169.254.169.254", "169.254.0.1", "fe80::1", "fe80::a9fe:a9fe", "0.0.0.0", "127.0.0.1",
                         "127.0.0.53", "255.255.255.255", "10.0.2.255", "::", "::1", "::ffff:127.0.0.1",
                         "::ffff:169.254.169.254", "::ffff:0.0.0.0", "::169.254.169.254", "fd00::1"}) {
    INFO(to);
    const Address target = addr(to);
    const Address from = target.is_v4() ? addr("10.0.2.100") : addr("fd00::100");
    Frame by_tcp = tcp({from, 4000}, {target, 80}), by_udp = udp({from, 4000}, {target, 80});
    CHECK(Reachability::refused(reachability.judge(parse_packet(by_tcp).packet)));
    CHECK(Reachability::refused(reachability.judge(parse_packet(by_udp).packet)));
    Frame echo = icmp(from, target, target.is_v4() ? 8 : 128, 0, Frame(8));
    const Reach reach = reachability.judge(parse_packet(echo).packet);
    CHECK((Reachability::refused(reach) || reach == Reach::ignore));
  }
}
