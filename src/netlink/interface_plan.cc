// SPDX-License-Identifier: BSD-3-Clause
#include "src/netlink/interface_plan.h"

#include <linux/if_link.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "src/netlink/address.h"
#include "src/netlink/ipv6_settings.h"
#include "src/netlink/link.h"
#include "src/netlink/neighbour.h"
#include "src/netlink/route.h"

namespace nh {

namespace {

/// Frames that wait in the TAP until the helper takes them. 1000 is what Linux gives an Ethernet device
/// (DEFAULT_TX_QUEUE_LEN); a TAP's own 500 loses bursts of small datagrams that come while the helper is busy with
/// other things. TCP is held back long before, by TCP Small Queues.
constexpr unsigned queue_length = 1000;

/// The router's link-local address on the TAP.
Address router() {
  static constexpr std::array<std::uint8_t, 16> bytes{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2};
  return Address::from_bytes(bytes);
}

/// Where frames from this address come from: 52:55 and an IPv4 address, 52:56 and the last four bytes of an IPv6 one.
MacAddress mac_for(const Address& address) {
  const Bytes last = address.bytes().last(4);
  return {{0x52, static_cast<std::uint8_t>(address.is_v4() ? 0x55 : 0x56), last[0], last[1], last[2], last[3]}};
}

class Steps {
 public:
  Steps(NlSocket& netlink, const InterfacePlan& plan, UndoLog& undo) : netlink_(netlink), plan_(plan), undo_(undo) {}

  Result<InterfaceOutcome> run() {
    if (plan_.bring_lo_up) NH_TRY(with_context("configuring lo", bring_lo_up()));
    NH_TRY(with_context("configuring " + plan_.name, configure_tap()));
    return std::move(outcome_);
  }

 private:
  static Result<> with_context(const std::string& context, Result<> done) {
    if (done) return done;
    return std::move(done).error().in(context);
  }

  Result<> bring_lo_up() {
    NH_LET(lo, find_link(netlink_, "lo"));
    if ((rtnl_link_get_flags(lo.get()) & IFF_UP) != 0) return Ok{};
    // The kernel gives lo 127.0.0.1/8 when it comes up, and leaves it there when it goes down.
    const int ifindex = rtnl_link_get_ifindex(lo.get());
    const InterfaceAddress loopback{.address = Address::loopback(Family::v4), .prefix = 8};
    NH_LET(before, list_addresses(netlink_, ifindex, SIZE_MAX));
    if (std::find(before.addresses.begin(), before.addresses.end(), loopback) == before.addresses.end())
      undo_.add([this_netlink = &netlink_, ifindex, loopback] { return remove_address(*this_netlink, ifindex, loopback); });
    return set_link_up(netlink_, lo.get(), undo_);
  }

  Result<> configure_tap() {
    NH_LET(link, find_link(netlink_, plan_.name));
    ifindex_ = rtnl_link_get_ifindex(link.get());
    const bool other_mtu = rtnl_link_get_mtu(link.get()) != plan_.mtu;
    const bool other_mac = plan_.mac && *plan_.mac != mac_of(link.get());
    if (other_mtu) NH_TRY(set_link_mtu(netlink_, link.get(), plan_.mtu, undo_));
    if (other_mac) {
      NH_TRY(keep_neighbours(netlink_, ifindex_, undo_));
      NH_TRY(set_link_mac(netlink_, link.get(), *plan_.mac, undo_));
    }
    if (other_mtu || other_mac) {  // IPv6 comes with an MTU of 1280 at least
      NH_LET(now, find_link(netlink_, plan_.name));
      link = std::move(now);
    }
    const bool v6 = plan_.v6 && prepare_v6(link.get());
    outcome_.ipv6_left_out = plan_.v6 && !v6;
    if (plan_.v4) NH_TRY(add_address(netlink_, ifindex_, {.address = plan_.v4->address, .prefix = plan_.v4->prefix}, undo_));
    if (v6)
      NH_TRY(bring_up_with_v6(link.get()));
    else
      NH_TRY(set_link_up(netlink_, link.get(), undo_));
    NH_TRY(set_link_queue_length(netlink_, link.get(), queue_length, undo_));
    if (plan_.v4) NH_TRY(add_neighbours(*plan_.v4));
    if (v6) NH_TRY(add_neighbours(*plan_.v6));
    if (v6) NH_TRY(add_neighbour(netlink_, ifindex_, router(), mac_for(router()), undo_));
    if (plan_.v4) NH_TRY(add_default_route(netlink_, ifindex_, plan_.v4->gateway, undo_));
    if (v6) NH_TRY(add_default_route(netlink_, ifindex_, router(), undo_));
    if (v6) outcome_.settling = {eui64_address(router(), mac_), guest6()};
    return Ok{};
  }

  void leave_v6_out(const std::string& reason) {
    outcome_.warnings.push_back("IPv6 is left out on " + plan_.name + ": " + reason);
  }

  /// False, with a warning: the interface can have no IPv6.
  bool prepare_v6(rtnl_link* link) {
    if (!address_generation(link)) {
      leave_v6_out("the guest's kernel has none for it");
      return false;
    }
    if (const auto enabled = set_ipv6_setting(plan_.name, "disable_ipv6", "0", undo_); !enabled) {
      // Without a readable /proc/sys it is most probably 0 anyway; a probe tells.
      UndoLog probe;
      if (const auto tried =
              add_address(netlink_, ifindex_, {.address = plan_.v6->address, .prefix = plan_.v6->prefix}, probe);
          !tried) {
        leave_v6_out("disable_ipv6 is set, and " + enabled.error().message());
        return false;
      }
      probe.roll_back();
    }
    for (const char* setting : {"accept_ra", "autoconf"})
      if (const auto set = set_ipv6_setting(plan_.name, setting, "0", undo_); !set && !outcome_.ra_guard_needed) {
        outcome_.ra_guard_needed = true;
        outcome_.warnings.push_back("router advertisements cannot be switched off in the guest: " + set.error().message());
      }
    return true;
  }

  Result<> bring_up_with_v6(rtnl_link* link) {
    NH_LET(mode, address_generation(link));
    const std::uint8_t none = IN6_ADDR_GEN_MODE_NONE;
    if (mode != none) {
      NH_TRY(set_address_generation(netlink_, link, none));
      undo_.add([this_netlink = &netlink_, name = plan_.name, mode = mode]() -> Result<> {
        NH_LET(again, find_link(*this_netlink, name));
        return set_address_generation(*this_netlink, again.get(), mode);
      });
    }
    NH_TRY(set_link_up(netlink_, link, undo_));
    mac_ = mac_of(link);
    NH_TRY(add_address(netlink_, ifindex_, {.address = eui64_address(router(), mac_), .prefix = 64}, undo_));
    NH_TRY(add_address(netlink_, ifindex_, {.address = guest6(), .prefix = plan_.v6->prefix}, undo_));
    // Given back, so that a guest who takes the interface down and up again gets a link-local address as it would
    // anywhere.
    if (mode != none) NH_TRY(set_address_generation(netlink_, link, mode));
    return Ok{};
  }

  Address guest6() const { return plan_.v6_eui64 ? eui64_address(plan_.v6->address, mac_) : plan_.v6->address; }

  Result<> add_neighbours(const InterfacePlan::Net& net) {
    NH_TRY(add_neighbour(netlink_, ifindex_, net.gateway, mac_for(net.gateway), undo_));
    if (net.dns) NH_TRY(add_neighbour(netlink_, ifindex_, *net.dns, mac_for(*net.dns), undo_));
    return Ok{};
  }

  NlSocket& netlink_;
  const InterfacePlan& plan_;
  UndoLog& undo_;
  InterfaceOutcome outcome_;
  int ifindex_ = 0;
  MacAddress mac_;
};

}  // namespace

Result<InterfaceOutcome> apply(NlSocket& netlink, const InterfacePlan& plan, UndoLog& undo) {
  auto outcome = Steps(netlink, plan, undo).run();
  if (outcome) return outcome;
  Error error = std::move(outcome).error();
  for (const std::string& failure : undo.roll_back()) error.what += " (and then: " + failure + ")";
  return error;
}

void settle(NlSocket& netlink, InterfaceOutcome& outcome) {
  for (const Address& address : std::exchange(outcome.settling, {}))
    if (const auto local = wait_until_local(netlink, address); !local) outcome.warnings.push_back(local.error().message());
}

}  // namespace nh
