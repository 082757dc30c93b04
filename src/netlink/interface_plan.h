// SPDX-License-Identifier: BSD-3-Clause
// InterfacePlan: how the TAP (and lo) shall look, and the steps that make it so, each with its own undo.
//
// Theory of operation. apply() runs in the guest's network namespace, with CAP_NET_ADMIN over it. It goes through its
// steps in order: lo up; TAP: MTU, MAC, IPv6 settings, IPv4 address, link up, queue length, IPv6 addresses, permanent
// neighbours for the addresses that are ours, default routes. A thing that is there already as wanted (a persistent TAP
// that is attached again) is left alone. A step that changes something first notes what undoes it; when a step fails,
// everything done so far is undone in reverse, and the error names the step.
//
// IPv6 without waiting: both the address and a link-local one of our own making (EUI-64) are added with IFA_F_NODAD,
// and the kernel is kept from making its own by addr_gen_mode none while the link comes up, so nothing is ever
// tentative. IPv6 without surprises: accept_ra and autoconf are 0 on the TAP, so a router advertisement adds neither
// address nor route.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "src/base/address.h"
#include "src/base/result.h"
#include "src/netlink/nl_socket.h"
#include "src/netlink/undo_log.h"

namespace nh {

struct InterfacePlan {
  struct Net {
    Address address;             ///< of the guest
    unsigned prefix = 0;         ///< bits
    Address gateway;             ///< IPv4: of the default route. IPv6: a neighbour only, the route leads to fe80::2
    std::optional<Address> dns;  ///< one more permanent neighbour
  };

  std::string name;               ///< of the TAP; the agent fills it in
  bool bring_lo_up = true;        ///< false: lo is left alone
  std::optional<MacAddress> mac;  ///< nullopt: what the kernel chose
  unsigned mtu = 1500;
  std::optional<Net> v4;
  std::optional<Net> v6;
  bool v6_eui64 = false;  ///< v6->address gives the prefix only, the rest is made of the TAP's MAC (eui64_address)
};

struct InterfaceOutcome {
  /// accept_ra could not be set (read-only /proc/sys): router advertisements must be kept from the guest.
  bool ra_guard_needed = false;
  /// The plan has IPv6, but the guest's kernel or this interface does not; `warnings` says why.
  bool ipv6_left_out = false;
  /// Addresses that a worker of the kernel is still to make ready, which takes it about 0.1 ms: settle().
  std::vector<Address> settling;
  std::vector<std::string> warnings;
};

/// On failure everything is undone. On success `undo` holds what would undo it all.
Result<InterfaceOutcome> apply(NlSocket& netlink, const InterfacePlan& plan, UndoLog& undo);
/// Waits until packets to the outcome's addresses are delivered; warnings name those to which they are not yet. Something else
/// may well be done between apply() and this.
void settle(NlSocket& netlink, InterfaceOutcome& outcome);

}  // namespace nh
