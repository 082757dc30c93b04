// SPDX-License-Identifier: BSD-3-Clause
#include "src/netlink/address_monitor.h"

#include <linux/rtnetlink.h>
#include <net/if.h>

#include <cerrno>

#include "src/base/limits.h"
#include "src/netlink/link.h"

namespace nh {

namespace {

/// Reads in one go, so that a flood of events cannot keep us here; what is left makes the socket readable again.
constexpr int reads_at_once = 64;

struct Interest {
  int ifindex;
  bool touched = false;
};

int on_event(nl_msg* message, void* context) noexcept {
  auto& interest = *static_cast<Interest*>(context);
  nlmsghdr* header = nlmsg_hdr(message);
  int ifindex = 0;
  switch (header->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      if (nlmsg_valid_hdr(header, sizeof(ifinfomsg))) ifindex = static_cast<const ifinfomsg*>(nlmsg_data(header))->ifi_index;
      break;
    case RTM_NEWADDR:
    case RTM_DELADDR:
      if (nlmsg_valid_hdr(header, sizeof(ifaddrmsg)))
        ifindex = static_cast<int>(static_cast<const ifaddrmsg*>(nlmsg_data(header))->ifa_index);
      break;
    default:
      break;
  }
  if (ifindex == interest.ifindex) interest.touched = true;
  return NL_OK;
}

}  // namespace

AddressMonitor::AddressMonitor(int ifindex, NlSocket events, NlSocket queries)
    : ifindex_(ifindex), events_(std::move(events)), queries_(std::move(queries)) {}

Result<AddressMonitor> AddressMonitor::open(int ifindex) {
  // libnl aborts on a question about interface 0, which if_nametoindex() gives for one that has just been deleted.
  if (ifindex <= 0) return Error{.code = Code::gone, .sys_errno = 0, .what = "the interface is gone"};
  NH_LET(events, NlSocket::connect());
  NH_LET(queries, NlSocket::connect());
  const std::string step = "following the interface's addresses";
  nl_socket_disable_seq_check(events.get());
  NH_TRY(events.check(nl_socket_set_nonblocking(events.get()), step));
  NH_TRY(events.check(nl_socket_add_memberships(events.get(), RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, 0),
                      step));
  return AddressMonitor(ifindex, std::move(events), std::move(queries));
}

bool AddressMonitor::take_events() {
  Interest interest{.ifindex = ifindex_};
  nl_socket_modify_cb(events_.get(), NL_CB_VALID, NL_CB_CUSTOM, &on_event, &interest);
  for (int i = 0; i < reads_at_once; ++i) {
    const int result = nl_recvmsgs_default(events_.get());
    if (result == -NLE_AGAIN) break;
    if (result < 0) interest.touched = true;  // lost events (ENOBUFS), or something we do not understand
  }
  nl_socket_modify_cb(events_.get(), NL_CB_VALID, NL_CB_DEFAULT, nullptr, nullptr);
  return interest.touched;
}

Result<std::optional<InterfaceState>> AddressMonitor::dump() {
  rtnl_link* found = nullptr;
  const int result = rtnl_link_get_kernel(queries_.get(), ifindex_, nullptr, &found);
  if (result < 0) {
    const int err = queries_.take_errno();
    if (err == ENODEV || err == ENXIO || result == -NLE_NODEV || result == -NLE_OBJ_NOTFOUND)
      return std::optional<InterfaceState>();
    return sys_error(err, std::string("looking at the interface: ") + nl_geterror(result));
  }
  const RtLink link(found);
  NH_LET(list, list_addresses(queries_, ifindex_, limits::tap_addresses));
  return std::optional(InterfaceState{.mac = mac_of(link.get()),
                                      .mtu = rtnl_link_get_mtu(link.get()),
                                      .up = (rtnl_link_get_flags(link.get()) & IFF_UP) != 0,
                                      .addresses = std::move(list.addresses),
                                      .more_addresses = list.more});
}

}  // namespace nh
