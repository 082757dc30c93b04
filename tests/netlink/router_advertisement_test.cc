// SPDX-License-Identifier: BSD-3-Clause
// A router advertisement such as libslirp sends every few seconds must change nothing in a configured guest.
#include <net/if.h>
#include <unistd.h>

#include <vector>

#include "src/linux/tap.h"
#include "src/netlink/address.h"
#include "src/netlink/interface_plan.h"
#include "tests/netlink/namespace_dump.h"
#include "tests/support/catch.h"

namespace nh {
namespace {

/// RFC 4861 4.2 and 4.6.2: fe80::2 is a router for so many seconds, prefix fd00::/64 is on the link and for
/// autoconfiguration.
std::vector<std::uint8_t> router_advertisement(std::uint16_t lifetime) {
  std::vector<std::uint8_t> icmp{134,
                                 0,
                                 0,
                                 0,
                                 64,
                                 0,
                                 static_cast<std::uint8_t>(lifetime >> 8),
                                 static_cast<std::uint8_t>(lifetime),
                                 0,
                                 0,
                                 0,
                                 0,
                                 0,
                                 0,
                                 0,
                                 0,
                                 3,
                                 4,
                                 64,
                                 0xc0,
                                 0,
                                 1,
                                 0x51,
                                 0x80,
                                 0,
                                 0,
                                 0x38,
                                 0x40,
                                 0,
                                 0,
                                 0,
                                 0,  // prefix option
                                 0xfd,
                                 0,
                                 0,
                                 0,
                                 0,
                                 0,
                                 0,
                                 0,
                                 0,
                                 0,
                                 0,
                                 0,
                                 0,
                                 0,
                                 0,
                                 0};
  const std::vector<std::uint8_t> source{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2};
  const std::vector<std::uint8_t> all_nodes{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  const auto sum_of = [](const std::vector<std::uint8_t>& bytes) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < bytes.size(); i += 2) sum += static_cast<std::uint32_t>(bytes[i] << 8 | bytes[i + 1]);
    return sum;
  };
  std::uint32_t sum = sum_of(icmp) + sum_of(source) + sum_of(all_nodes) + static_cast<std::uint32_t>(icmp.size()) + 58;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  icmp[2] = static_cast<std::uint8_t>(~sum >> 8);
  icmp[3] = static_cast<std::uint8_t>(~sum);
  std::vector<std::uint8_t> frame(10);  // struct virtio_net_hdr: nothing special
  const auto append = [&frame](const std::vector<std::uint8_t>& part) {
    frame.insert(frame.end(), part.begin(), part.end());
  };
  append({0x33, 0x33, 0, 0, 0, 1, 0x52, 0x56, 0, 0, 0, 2, 0x86, 0xdd});
  append({0x60, 0, 0, 0, 0, static_cast<std::uint8_t>(icmp.size()), 58, 255});
  append(source);
  append(all_nodes);
  append(icmp);
  return frame;
}

TEST_CASE("a router advertisement adds neither address nor route") {
  test::require_namespaces({test::KernelFeature::ipv6});
  CHECK(test::in_child([] {
          test::enter_new_namespaces();
          const OpenedTap tap = EXPECT_OK(open_tap("tap0"));
          NlSocket netlink = EXPECT_OK(NlSocket::connect());
          UndoLog undo;
          InterfacePlan plan;
          plan.name = "tap0";
          const auto address = [](const char* text) { return Address::parse(text).value(); };
          plan.v6 = {.address = address("fd00::100"), .prefix = 64, .gateway = address("fd00::2"), .dns = {}};
          InterfaceOutcome outcome = EXPECT_OK(apply(netlink, plan, undo));
          settle(netlink, outcome);
          EXPECT(outcome.warnings.empty());
          const auto routes_and_addresses = [] {
            const std::string dump = test::dump_namespace("tap0");
            return dump.substr(0, dump.find("accept_ra="));
          };
          const auto advertise = [&](std::uint16_t lifetime) {
            const std::vector<std::uint8_t> frame = router_advertisement(lifetime);
            EXPECT(write(tap.fd.get(), frame.data(), frame.size()) == static_cast<ssize_t>(frame.size()));
          };
          const std::string before = routes_and_addresses();
          for (int i = 0; i < 20; ++i) {
            advertise(1800);
            advertise(0);
          }
          EXPECT(routes_and_addresses() == before);
          // The counter-proof: a guest that listens does get an address of it. (Not with a lifetime: Linux gives up
          // on an advertisement whose default route is there already.)
          test::write_file("/proc/sys/net/ipv6/conf/tap0/accept_ra", "1");
          test::write_file("/proc/sys/net/ipv6/conf/tap0/autoconf", "1");
          const int ifindex = static_cast<int>(if_nametoindex("tap0"));
          bool added = false;
          for (int i = 0; i < 1000 && !added; ++i) {
            advertise(0);
            added = EXPECT_OK(list_addresses(netlink, ifindex, 64)).addresses.size() == 3;
          }
          EXPECT(added);
        }) == "");
}

}  // namespace
}  // namespace nh
