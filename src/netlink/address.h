// SPDX-License-Identifier: BSD-3-Clause
// Addresses of interfaces (rtnetlink(7), RTM_NEWADDR, RTM_GETADDR).
#pragma once

#include <vector>

#include "src/netlink/nl_socket.h"
#include "src/netlink/undo_log.h"

namespace nh {

struct InterfaceAddress {
  Address address;
  unsigned prefix = 0;     ///< bits
  bool tentative = false;  ///< IPv6: duplicate address detection is under way, or has failed
  friend bool operator==(const InterfaceAddress&, const InterfaceAddress&) = default;
};

struct AddressList {
  std::vector<InterfaceAddress> addresses;  ///< IPv4, then IPv6, in the kernel's order
  bool more = false;                        ///< there are more than `most`
};

/// The addresses of an interface.
Result<AddressList> list_addresses(NlSocket& netlink, int ifindex, std::size_t most);

/// Adds an address, IPv4 with its broadcast address, IPv6 without duplicate address detection (IFA_F_NODAD). One that
/// is there already is left alone, but for a tentative one, which is replaced.
Result<> add_address(NlSocket& netlink, int ifindex, const InterfaceAddress& address, UndoLog& undo);
/// One that is not there is no error.
Result<> remove_address(NlSocket& netlink, int ifindex, const InterfaceAddress& address);

}  // namespace nh
