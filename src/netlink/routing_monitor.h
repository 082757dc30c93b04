// SPDX-License-Identifier: BSD-3-Clause
// RoutingMonitor: tells that rules, routes or links of the namespace may have changed. Like AddressMonitor it trusts no event's
// content, so lost ones cost nothing.
#pragma once

#include "src/netlink/nl_socket.h"

namespace nh {

class RoutingMonitor {
 public:
  /// In the network namespace that the caller is in.
  static Result<RoutingMonitor> open();
  int fd() const { return events_.fd(); }
  /// Takes waiting events, a bounded number of reads.
  void take_events();

 private:
  explicit RoutingMonitor(NlSocket events) : events_(std::move(events)) {}
  NlSocket events_;
};

}  // namespace nh
