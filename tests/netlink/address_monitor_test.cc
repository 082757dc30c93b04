// SPDX-License-Identifier: BSD-3-Clause
#include "src/netlink/address_monitor.h"

#include <linux/if_addr.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include "src/base/limits.h"
#include "src/linux/tap.h"
#include "src/netlink/link.h"
#include "tests/support/catch.h"
#include "tests/support/namespaces.h"

namespace nh {
namespace {

using test::in_new_namespaces;

struct Lab {
  OpenedTap tap = EXPECT_OK(open_tap("tap0"));
  NlSocket netlink = EXPECT_OK(NlSocket::connect());
  int ifindex = static_cast<int>(if_nametoindex("tap0"));
  UndoLog undo;

  void add(std::uint32_t host) {
    EXPECT_OK(add_address(netlink, ifindex, {.address = Address::v4(host), .prefix = 24}, undo));
  }
};

bool readable(const AddressMonitor& monitor) {
  pollfd poll_fd{.fd = monitor.fd(), .events = POLLIN, .revents = 0};
  return poll(&poll_fd, 1, 0) == 1;
}

TEST_CASE("changes of our interface are events, those of another are not") {
  CHECK(in_new_namespaces([] {
          Lab lab;
          const OpenedTap other = EXPECT_OK(open_tap("tap1"));
          AddressMonitor monitor = EXPECT_OK(AddressMonitor::open(lab.ifindex));
          EXPECT(!monitor.take_events());
          const RtLink other_link = EXPECT_OK(find_link(lab.netlink, "tap1"));
          EXPECT_OK(set_link_mtu(lab.netlink, other_link.get(), 1400, lab.undo));
          EXPECT(readable(monitor));
          EXPECT(!monitor.take_events());
          lab.add(0x0a000264);
          EXPECT(readable(monitor));
          EXPECT(monitor.take_events());
          EXPECT(!readable(monitor));
          const InterfaceState state = EXPECT_OK(monitor.dump()).value();
          EXPECT(state.addresses.size() == 1);
          EXPECT(state.addresses[0].address.text() == "10.0.2.100");
          EXPECT(state.mac == lab.tap.info.mac);
          EXPECT(!state.up);
          const RtLink link = EXPECT_OK(find_link(lab.netlink, "tap0"));
          EXPECT_OK(set_link_up(lab.netlink, link.get(), lab.undo));
          EXPECT(monitor.take_events());
          EXPECT(EXPECT_OK(monitor.dump())->up);
        }) == "");
}

TEST_CASE("lost events count as a change") {
  CHECK(in_new_namespaces([] {
          Lab lab;
          AddressMonitor monitor = EXPECT_OK(AddressMonitor::open(lab.ifindex));
          const int smallest = 0;  // the kernel raises it to its minimum
          EXPECT(setsockopt(monitor.fd(), SOL_SOCKET, SO_RCVBUF, &smallest, sizeof smallest) == 0);
          const OpenedTap other = EXPECT_OK(open_tap("tap1"));
          const RtLink other_link = EXPECT_OK(find_link(lab.netlink, "tap1"));
          for (unsigned i = 0; i < 50; ++i) {
            const RtLink now = EXPECT_OK(find_link(lab.netlink, "tap1"));
            EXPECT_OK(set_link_mtu(lab.netlink, now.get(), 1000 + i, lab.undo));
          }
          EXPECT(monitor.take_events());
        }) == "");
}

TEST_CASE("more addresses than the limit are told, not listed") {
  CHECK(in_new_namespaces([] {
          Lab lab;
          AddressMonitor monitor = EXPECT_OK(AddressMonitor::open(lab.ifindex));
          for (std::uint32_t i = 0; i < limits::tap_addresses; ++i) lab.add(0x0a000301 + i);
          EXPECT(!EXPECT_OK(monitor.dump())->more_addresses);
          lab.add(0x0a000401);
          const InterfaceState state = EXPECT_OK(monitor.dump()).value();
          EXPECT(state.addresses.size() == limits::tap_addresses);
          EXPECT(state.more_addresses);
        }) == "");
}

TEST_CASE("the far end's address of a point-to-point pair is not ours") {
  CHECK(in_new_namespaces([] {
          Lab lab;
          AddressMonitor monitor = EXPECT_OK(AddressMonitor::open(lab.ifindex));
          RtAddr pair(rtnl_addr_alloc());
          const NlAddr local = nl_address(Address::v4(0x0a000901), 32), peer = nl_address(Address::v4(0x0a000902), 32);
          rtnl_addr_set_ifindex(pair.get(), lab.ifindex);
          rtnl_addr_set_local(pair.get(), local.get());
          rtnl_addr_set_peer(pair.get(), peer.get());
          EXPECT(rtnl_addr_add(lab.netlink.get(), pair.get(), 0) == 0);
          const InterfaceState state = EXPECT_OK(monitor.dump()).value();
          EXPECT(state.addresses.size() == 1);
          EXPECT(state.addresses[0].address.text() == "10.0.9.1");
        }) == "");
}

TEST_CASE("a tentative address is told as such, and replaced when it is wanted") {
  CHECK(in_new_namespaces([] {
          Lab lab;
          const RtLink link = EXPECT_OK(find_link(lab.netlink, "tap0"));
          EXPECT_OK(set_link_up(lab.netlink, link.get(), lab.undo));
          const Address address = Address::parse("fd00::100").value();
          RtAddr plain(rtnl_addr_alloc());
          const NlAddr local = nl_address(address, 64);
          rtnl_addr_set_ifindex(plain.get(), lab.ifindex);
          rtnl_addr_set_local(plain.get(), local.get());
          EXPECT(rtnl_addr_add(lab.netlink.get(), plain.get(), 0) == 0);
          const auto tentative = [&] {
            for (const auto& entry : EXPECT_OK(list_addresses(lab.netlink, lab.ifindex, 64)).addresses)
              if (entry.address == address) return entry.tentative;
            throw test::Failed{"the address is missing"};
          };
          EXPECT(tentative());
          EXPECT_OK(add_address(lab.netlink, lab.ifindex, {.address = address, .prefix = 64}, lab.undo));
          EXPECT(!tentative());
        }) == "");
}

TEST_CASE("an interface that was deleted is gone") {
  CHECK(in_new_namespaces([] {
          Lab lab;
          AddressMonitor monitor = EXPECT_OK(AddressMonitor::open(lab.ifindex));
          lab.tap.fd.reset();
          EXPECT(monitor.take_events());
          EXPECT(!EXPECT_OK(monitor.dump()));
          const auto nothing = AddressMonitor::open(static_cast<int>(if_nametoindex("tap0")));
          EXPECT(!nothing);
          EXPECT(nothing.error().code == Code::gone);
        }) == "");
}

}  // namespace
}  // namespace nh
