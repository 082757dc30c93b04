// SPDX-License-Identifier: BSD-3-Clause
// Stand-ins to a network behind the guest: a container on a bridge or veth of the guest's, reached by the guest's routes, and by
// a port of the guest's that it translates (as dockerd under RootlessKit does). Needs iproute2 and nftables.
#include <cstdlib>

#include "tests/agent/stand_in_lab.h"
#include "tests/support/catch.h"

namespace nh {
namespace {

using test::at;
using test::Guest;
using test::GuestService;
using test::in_child;
using test::in_guest;
using test::seen_by;
using test::StandInLab;

void run(const std::string& command) {
  if (std::system(("PATH=$PATH:/usr/sbin:/sbin; " + command).c_str()) != 0) throw test::Failed{command};
}

TEST_CASE("a container behind the guest sees the client's own address, by its own address and by a translated port") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(in_child([] {
          StandInLab lab;
          const Guest container([&lab] {
            const UniqueFd netns = EXPECT_OK(open_namespace(lab.guest.netns(), NamespaceType::net, "netns"));
            const UniqueFd userns = EXPECT_OK(owner_of(netns.get()));
            EXPECT_OK(join_namespace(userns.get(), NamespaceType::user));
            EXPECT(unshare(CLONE_NEWNET) == 0);
          });
          in_guest(lab.guest, [&container] {
            test::write_file("/proc/sys/net/ipv6/conf/default/accept_dad", "0");  // a second's wait
            run("ip link add br0 type bridge && ip link add v0 type veth peer name v1 netns " + container.text());
            run("ip link set v0 master br0 up && ip link set br0 up");
            run("ip addr add 172.17.0.1/16 dev br0 && ip addr add fd17::1/64 dev br0 nodad");
            test::write_file("/proc/sys/net/ipv4/ip_forward", "1");
            test::write_file("/proc/sys/net/ipv6/conf/all/forwarding", "1");
            run("nft 'table ip nat { chain out { type nat hook output priority -100; ip daddr 10.0.2.100 tcp dport 8081 "
                "dnat to 172.17.0.2:80; }; chain post { type nat hook postrouting priority 100; ip saddr 172.17.0.0/16 oif "
                "!= \"br0\" masquerade; }; }'");
          });
          in_guest(container, [] {
            run("ip link set lo up && ip link set v1 up");
            run("ip addr add 172.17.0.2/16 dev v1 && ip addr add fd17::2/64 dev v1 nodad");
            run("ip route add default via 172.17.0.1 && ip -6 route add default via fd17::1");
          });
          const GuestService service(container, {at("172.17.0.2", 80), at("fd17::2", 80)});
          lab.expect_ready();
          const Endpoint v4 = at("198.51.100.7", 40001), v6 = at("2001:db8::7", 40001);
          EXPECT(seen_by(lab, v4, at("172.17.0.2", 80)) == v4.text());
          EXPECT(seen_by(lab, v6, at("fd17::2", 80)) == v6.text());
          const Endpoint other = at("198.51.100.7", 40002);
          EXPECT(seen_by(lab, other, at("10.0.2.100", 8081)) == other.text());
        }) == "");
}

}  // namespace
}  // namespace nh
