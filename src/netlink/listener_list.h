// SPDX-License-Identifier: BSD-3-Clause
// What programs of this network namespace listen on: TCP sockets in LISTEN, and UDP sockets that are bound and connected to
// nobody (sock_diag(7)).
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "src/base/address.h"
#include "src/netlink/nl_socket.h"

namespace nh {

struct GuestListener {
  bool udp = false;
  Endpoint at;  ///< address 0.0.0.0 or :: for all
  friend auto operator<=>(const GuestListener&, const GuestListener&) = default;
};

struct ListenerList {
  std::vector<GuestListener> listeners;  ///< sorted, none twice
  bool more = false;                     ///< there are more than `most`
  friend bool operator==(const ListenerList&, const ListenerList&) = default;
};

/// `diag` is a NETLINK_SOCK_DIAG socket. Sockets whose cookie (SO_COOKIE) is in `ours` are left out; cookies of sockets that
/// were not met are removed from it, so that it does not grow.
Result<ListenerList> list_listeners(NlSocket& diag, std::set<std::uint64_t>& ours, std::size_t most);

}  // namespace nh
