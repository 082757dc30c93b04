// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/frame/drop_reason.h"

namespace nh {

// A switch rather than a table: the compiler says when a reason has no name.
std::string_view drop_reason_name(DropReason reason) {
  switch (reason) {
    case DropReason::frame_short:
      return "frame_short";
    case DropReason::frame_long:
      return "frame_long";
    case DropReason::ether_type:
      return "ether_type";
    case DropReason::mac_source:
      return "mac_source";
    case DropReason::arp_malformed:
      return "arp_malformed";
    case DropReason::arp_spoofed:
      return "arp_spoofed";
    case DropReason::ip_version:
      return "ip_version";
    case DropReason::ip_header:
      return "ip_header";
    case DropReason::ip_ttl:
      return "ip_ttl";
    case DropReason::ip_source:
      return "ip_source";
    case DropReason::ip_destination:
      return "ip_destination";
    case DropReason::ip_protocol:
      return "ip_protocol";
    case DropReason::ipv6_extension:
      return "ipv6_extension";
    case DropReason::ipv6_off:
      return "ipv6_off";
    case DropReason::fragment_tcp:
      return "fragment_tcp";
    case DropReason::fragment_malformed:
      return "fragment_malformed";
    case DropReason::fragment_overlap:
      return "fragment_overlap";
    case DropReason::fragment_limit:
      return "fragment_limit";
    case DropReason::fragment_timeout:
      return "fragment_timeout";
    case DropReason::tcp_header:
      return "tcp_header";
    case DropReason::tcp_flags:
      return "tcp_flags";
    case DropReason::tcp_checksum:
      return "tcp_checksum";
    case DropReason::port_zero:
      return "port_zero";
    case DropReason::udp_length:
      return "udp_length";
    case DropReason::udp_checksum:
      return "udp_checksum";
    case DropReason::tftp:
      return "tftp";
    case DropReason::dhcp_malformed:
      return "dhcp_malformed";
    case DropReason::icmp_malformed:
      return "icmp_malformed";
    case DropReason::icmp_checksum:
      return "icmp_checksum";
    case DropReason::icmp_type:
      return "icmp_type";
    case DropReason::icmp_error_unmatched:
      return "icmp_error_unmatched";
    case DropReason::ndp_spoofed:
      return "ndp_spoofed";
    case DropReason::unknown_source_limit:
      return "unknown_source_limit";
    case DropReason::tcp_flow_limit:
      return "tcp_flow_limit";
    case DropReason::udp_flow_limit:
      return "udp_flow_limit";
    case DropReason::icmp_flow_limit:
      return "icmp_flow_limit";
    case DropReason::count_:
      break;
  }
  return "unknown";
}

}  // namespace nh
