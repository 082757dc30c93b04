// SPDX-License-Identifier: BSD-3-Clause
// AddressMonitor: follows addresses, MAC, MTU and state of one interface.
//
// Theory of operation. Two sockets. One is subscribed to link and address events; what arrives there says only that
// something about our interface may have changed. The truth is then dumped through the other. So lost events (ENOBUFS)
// and events in an odd order cost nothing but a dump.
#pragma once

#include <optional>
#include <vector>

#include "src/base/address.h"
#include "src/base/result.h"
#include "src/netlink/address.h"
#include "src/netlink/nl_socket.h"

namespace nh {

struct InterfaceState {
  MacAddress mac{};
  unsigned mtu = 0;
  bool up = false;
  std::vector<InterfaceAddress> addresses;  ///< at most limits::tap_addresses
  bool more_addresses = false;              ///< there are more than that
  friend bool operator==(const InterfaceState&, const InterfaceState&) = default;
};

class AddressMonitor {
 public:
  /// In the network namespace that the caller is in. gone: ifindex is 0, as if_nametoindex(3) says of what is not
  /// there.
  static Result<AddressMonitor> open(int ifindex);

  /// Readable when there are events.
  int fd() const { return events_.fd(); }
  /// Takes waiting events, a bounded number of reads; true: one was about our interface, or some were lost.
  bool take_events();
  /// The present state; nullopt: the interface is gone.
  Result<std::optional<InterfaceState>> dump();

 private:
  AddressMonitor(int ifindex, NlSocket events, NlSocket queries);
  int ifindex_;
  NlSocket events_;
  NlSocket queries_;
};

}  // namespace nh
