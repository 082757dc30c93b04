// SPDX-License-Identifier: BSD-3-Clause
#include "src/netlink/interface_plan.h"

#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include <algorithm>

#include "src/linux/tap.h"
#include "src/netlink/address.h"
#include "src/netlink/address_monitor.h"
#include "src/netlink/link.h"
#include "src/netlink/neighbour.h"
#include "src/netlink/route.h"
#include "tests/netlink/namespace_dump.h"
#include "tests/support/catch.h"

namespace nh {
namespace {

using test::dump_namespace;
using test::Failed;
using test::in_new_namespaces;

Address address(const char* text) {
  return Address::parse(text).value();
}

InterfacePlan plan() {
  InterfacePlan plan;
  plan.name = "tap0";
  plan.v4 = {.address = address("10.0.2.100"), .prefix = 24, .gateway = address("10.0.2.2"), .dns = address("10.0.2.3")};
  plan.v6 = {.address = address("fd00::100"), .prefix = 64, .gateway = address("fd00::2"), .dns = address("fd00::3")};
  return plan;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// apply(), and what it left to the kernel is done.
Result<InterfaceOutcome> settled(NlSocket& netlink, const InterfacePlan& plan, UndoLog& undo) {
  auto outcome = apply(netlink, plan, undo);
  if (outcome) settle(netlink, *outcome);
  return outcome;
}

InterfaceState state_of(const char* name) {
  return EXPECT_OK(EXPECT_OK(AddressMonitor::open(static_cast<int>(if_nametoindex(name)))).dump()).value();
}

TEST_CASE("a new TAP is configured at once, without a tentative address") {
  CHECK(in_new_namespaces([] {
          const OpenedTap tap = EXPECT_OK(open_tap("tap0"));
          NlSocket netlink = EXPECT_OK(NlSocket::connect());
          UndoLog undo;
          InterfacePlan wanted = plan();
          wanted.mac = EXPECT_OK(MacAddress::parse("02:00:00:00:00:07"));
          wanted.mtu = 9000;
          const InterfaceOutcome outcome = EXPECT_OK(settled(netlink, wanted, undo));
          EXPECT(outcome.warnings.empty());
          EXPECT(!outcome.ra_guard_needed && !outcome.ipv6_left_out);
          const InterfaceState state = state_of("tap0");
          EXPECT(state.up && state.mtu == 9000 && state.mac == *wanted.mac);
          std::vector<std::string> texts;
          for (const auto& entry : state.addresses) {
            EXPECT(!entry.tentative);
            texts.push_back(entry.address.text() + "/" + std::to_string(entry.prefix));
          }
          std::sort(texts.begin(), texts.end());
          EXPECT((texts == std::vector<std::string>{"10.0.2.100/24", "fd00::100/64", "fe80::ff:fe00:7/64"}));
          const std::string dump = dump_namespace("tap0");
          EXPECT(contains(dump, "10.0.2.2 dev tap0 lladdr 52:55:0a:00:02:02"));
          EXPECT(contains(dump, "10.0.2.3 dev tap0 lladdr 52:55:0a:00:02:03"));
          EXPECT(contains(dump, "fd00::2 dev tap0 lladdr 52:56:00:00:00:02"));
          EXPECT(contains(dump, "fd00::3 dev tap0 lladdr 52:56:00:00:00:03"));
          EXPECT(contains(dump, "fe80::2 dev tap0 lladdr 52:56:00:00:00:02"));
          EXPECT(contains(dump, "accept_ra=0\nautoconf=0\ndisable_ipv6=0\naddr_gen_mode=0\n"));
          const InterfaceState lo = state_of("lo");
          EXPECT(lo.up);
          EXPECT(!undo.empty());
        }) == "");
}

TEST_CASE("lo is left alone if that is asked for") {
  CHECK(in_new_namespaces([] {
          const OpenedTap tap = EXPECT_OK(open_tap("tap0"));
          NlSocket netlink = EXPECT_OK(NlSocket::connect());
          UndoLog undo;
          InterfacePlan wanted = plan();
          wanted.bring_lo_up = false;
          EXPECT_OK(settled(netlink, wanted, undo));
          EXPECT(!state_of("lo").up);
          EXPECT(state_of("lo").addresses.empty());
        }) == "");
}

TEST_CASE("a failure at any step undoes all steps before it, and is named") {
  struct Case {
    const char* step;
    std::function<void(InterfacePlan&)> spoil;
  };
  const std::vector<Case> cases{
      {"configuring tap0: setting the MTU to 70000", [](InterfacePlan& p) { p.mtu = 70000; }},
      {"configuring tap0: setting the MAC address ff:ff:ff:ff:ff:ff",
       [](InterfacePlan& p) {
         p.mac = MacAddress{{255, 255, 255, 255, 255, 255}};
       }},
      {"configuring tap0: adding address 10.0.2.100/33", [](InterfacePlan& p) { p.v4->prefix = 33; }},
      {"configuring tap0: adding address ff02::1/64", [](InterfacePlan& p) { p.v6->address = address("ff02::1"); }},
      {"configuring tap0: adding the default route via 192.0.2.1",
       [](InterfacePlan& p) { p.v4->gateway = address("192.0.2.1"); }},
      {"looking for interface tap1", [](InterfacePlan& p) { p.name = "tap1"; }},
  };
  for (const Case& spoilt : cases) {
    INFO(spoilt.step);
    CHECK(in_new_namespaces([&] {
            const OpenedTap tap = EXPECT_OK(open_tap("tap0"));
            NlSocket netlink = EXPECT_OK(NlSocket::connect());
            const std::string before = dump_namespace("tap0");
            UndoLog undo;
            InterfacePlan wanted = plan();
            wanted.mtu = 9000;
            wanted.mac = EXPECT_OK(MacAddress::parse("02:00:00:00:00:07"));
            spoilt.spoil(wanted);
            const auto failed = apply(netlink, wanted, undo);
            EXPECT(!failed);
            if (!contains(failed.error().what, spoilt.step)) throw Failed{"another step: " + failed.error().message()};
            EXPECT(failed.error().sys_errno != 0);
            EXPECT(!contains(failed.error().what, "and then"));
            EXPECT(undo.empty());
            const std::string after = dump_namespace("tap0");
            if (before != after) throw Failed{"before:\n" + before + "after:\n" + after};
          }) == "");
  }
}

/// A persistent TAP tap0 that nobody holds, with former settings of its own.
void make_persistent() {
  const OpenedTap tap = EXPECT_OK(open_tap("tap0"));
  EXPECT(ioctl(tap.fd.get(), TUNSETPERSIST, 1UL) == 0);
}

TEST_CASE("a persistent TAP that is attached again is found configured, and left as it is by a failure") {
  CHECK(in_new_namespaces([] {
          make_persistent();
          {
            const OpenedTap tap = EXPECT_OK(open_tap("tap0"));
            NlSocket netlink = EXPECT_OK(NlSocket::connect());
            UndoLog undo;
            EXPECT_OK(settled(netlink, plan(), undo));
          }
          const OpenedTap tap = EXPECT_OK(open_tap("tap0"));
          NlSocket netlink = EXPECT_OK(NlSocket::connect());
          UndoLog undo;
          const InterfaceOutcome outcome = EXPECT_OK(settled(netlink, plan(), undo));
          EXPECT(outcome.warnings.empty());
          const InterfaceState state = state_of("tap0");
          EXPECT(state.up && state.addresses.size() == 3);
          for (const auto& entry : state.addresses) EXPECT(!entry.tentative);

          InterfacePlan bad = plan();
          bad.mtu = 4000;
          bad.mac = EXPECT_OK(MacAddress::parse("02:00:00:00:00:07"));
          bad.v4->gateway = address("192.0.2.1");
          const std::string before = dump_namespace("tap0");
          UndoLog second;
          EXPECT(!apply(netlink, bad, second));
          const std::string after = dump_namespace("tap0");
          if (before != after) throw Failed{"before:\n" + before + "after:\n" + after};
        }) == "");
}

TEST_CASE("a neighbour that was there with another MAC is replaced, and comes back") {
  CHECK(in_new_namespaces([] {
          const OpenedTap tap = EXPECT_OK(open_tap("tap0"));
          NlSocket netlink = EXPECT_OK(NlSocket::connect());
          UndoLog undo;
          EXPECT_OK(settled(netlink, plan(), undo));
          const int ifindex = static_cast<int>(if_nametoindex("tap0"));
          const std::string before = dump_namespace("tap0");
          UndoLog second;
          EXPECT_OK(add_neighbour(netlink, ifindex, address("10.0.2.2"), EXPECT_OK(MacAddress::parse("02:00:00:00:00:01")),
                                  second));
          EXPECT(contains(dump_namespace("tap0"), "10.0.2.2 dev tap0 lladdr 02:00:00:00:00:01"));
          EXPECT(second.roll_back().empty());
          EXPECT(dump_namespace("tap0") == before);
        }) == "");
}

TEST_CASE("disable_ipv6 is lifted on the TAP") {
  CHECK(in_new_namespaces([] {
          test::write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
          const OpenedTap tap = EXPECT_OK(open_tap("tap0"));
          NlSocket netlink = EXPECT_OK(NlSocket::connect());
          UndoLog undo;
          const InterfaceOutcome outcome = EXPECT_OK(settled(netlink, plan(), undo));
          EXPECT(!outcome.ipv6_left_out && outcome.warnings.empty());
          EXPECT(state_of("tap0").addresses.size() == 3);
        }) == "");
}

TEST_CASE("a guest whose link-local addresses are made up of random numbers gets no second, tentative one") {
  CHECK(in_new_namespaces([] {
          test::write_file("/proc/sys/net/ipv6/conf/default/addr_gen_mode", "3");
          const OpenedTap tap = EXPECT_OK(open_tap("tap0"));
          NlSocket netlink = EXPECT_OK(NlSocket::connect());
          UndoLog undo;
          EXPECT_OK(settled(netlink, plan(), undo));
          const InterfaceState state = state_of("tap0");
          EXPECT(state.addresses.size() == 3);
          for (const auto& entry : state.addresses) EXPECT(!entry.tentative);
          EXPECT(test::read_file("/proc/sys/net/ipv6/conf/tap0/addr_gen_mode") == "3\n");  // given back
        }) == "");
}

void make_sys_read_only() {
  EXPECT(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
  EXPECT(mount("/proc/sys", "/proc/sys", nullptr, MS_BIND | MS_REC, nullptr) == 0);
  EXPECT(mount(nullptr, "/proc/sys", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
               nullptr) == 0);
}

TEST_CASE("where /proc/sys is read-only the helper is asked to keep router advertisements out") {
  CHECK(in_new_namespaces(
            [] {
              make_sys_read_only();
              const OpenedTap tap = EXPECT_OK(open_tap("tap0"));
              NlSocket netlink = EXPECT_OK(NlSocket::connect());
              UndoLog undo;
              const InterfaceOutcome outcome = EXPECT_OK(settled(netlink, plan(), undo));
              EXPECT(outcome.ra_guard_needed && !outcome.ipv6_left_out);
              EXPECT(outcome.warnings.size() == 1);
              EXPECT(contains(outcome.warnings[0], "EROFS"));
              EXPECT(state_of("tap0").addresses.size() == 3);
            },
            CLONE_NEWNS) == "");
}

TEST_CASE("where disable_ipv6 cannot be lifted IPv6 is left out with a warning") {
  CHECK(in_new_namespaces(
            [] {
              test::write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
              make_sys_read_only();
              const OpenedTap tap = EXPECT_OK(open_tap("tap0"));
              NlSocket netlink = EXPECT_OK(NlSocket::connect());
              UndoLog undo;
              const InterfaceOutcome outcome = EXPECT_OK(settled(netlink, plan(), undo));
              EXPECT(outcome.ipv6_left_out);
              EXPECT(outcome.warnings.size() == 1);
              const InterfaceState state = state_of("tap0");
              EXPECT(state.up && state.addresses.size() == 1);
            },
            CLONE_NEWNS) == "");
}

TEST_CASE("an MTU that IPv6 cannot use leaves IPv6 out with a warning") {
  CHECK(in_new_namespaces([] {
          const OpenedTap tap = EXPECT_OK(open_tap("tap0"));
          NlSocket netlink = EXPECT_OK(NlSocket::connect());
          UndoLog undo;
          InterfacePlan small = plan();
          small.mtu = 576;
          const InterfaceOutcome outcome = EXPECT_OK(settled(netlink, small, undo));
          EXPECT(outcome.ipv6_left_out && outcome.warnings.size() == 1);
          EXPECT(state_of("tap0").mtu == 576);
        }) == "");
}

}  // namespace
}  // namespace nh
