// SPDX-License-Identifier: BSD-3-Clause
#include "src/netlink/routing_monitor.h"

#include <linux/rtnetlink.h>

namespace nh {

Result<RoutingMonitor> RoutingMonitor::open() {
  const std::string step = "following the rules of routing";
  NH_LET(events, NlSocket::connect());
  nl_socket_disable_seq_check(events.get());
  NH_TRY(events.check(nl_socket_set_nonblocking(events.get()), step));
  NH_TRY(events.check(nl_socket_add_memberships(events.get(), RTNLGRP_LINK, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE,
                                                RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, 0),
                      step));
  return RoutingMonitor(std::move(events));
}

void RoutingMonitor::take_events() {
  constexpr int most_reads = 64;  // what is left makes the socket readable again
  for (int i = 0; i < most_reads; ++i)
    if (nl_recvmsgs_default(events_.get()) == -NLE_AGAIN) break;
}

}  // namespace nh
