// SPDX-License-Identifier: BSD-3-Clause
// Why a frame of the guest was not carried. Each reason is a counter that `info` shows under its
// name.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace nh {

enum class DropReason : std::uint8_t {
  frame_short,           ///< no whole Ethernet header
  frame_long,            ///< longer than the MTU allows
  ether_type,            ///< neither ARP, IPv4 nor IPv6 (NC-SI: CVE-2020-29129)
  mac_source,            ///< Ethernet source is a group address or one that only our frames have
  arp_malformed,         ///< short or not Ethernet/IPv4 (CVE-2020-29130)
  arp_spoofed,           ///< claims an address of ours, or asks for one that is not ours
  ip_version,            ///< version field does not match the ether type
  ip_header,             ///< header length, total length or options do not fit the frame
  ip_ttl,                ///< TTL or hop limit 0
  ip_source,             ///< source is not an address of the guest
  ip_destination,        ///< a destination that has no meaning here (multicast that nobody serves, class
                         ///< E)
  ip_protocol,           ///< neither TCP, UDP, ICMP nor ICMPv6
  ipv6_extension,        ///< an extension header that is not carried
  ipv6_off,              ///< IPv6 without --no-ipv6 undone
  fragment_tcp,          ///< TCP must not come in fragments
  fragment_malformed,    ///< not a multiple of 8, beyond 64 KiB, empty
  fragment_overlap,      ///< overlapping fragments: the whole datagram is dropped (RFC 5722)
  fragment_limit,        ///< too many datagrams, bytes or pieces under reassembly
  fragment_timeout,      ///< a datagram whose rest never came
  tcp_header,            ///< data offset or length does not fit
  tcp_flags,             ///< SYN with FIN or RST, or no flag at all
  tcp_checksum,          ///< wrong
  port_zero,             ///< TCP or UDP port 0 (CVE-2014-3640)
  udp_length,            ///< length field does not fit (CVE-2021-3593, CVE-2021-3594)
  udp_checksum,          ///< wrong
  tftp,                  ///< TFTP to the gateway (CVE-2021-3595)
  dhcp_malformed,        ///< BOOTP/DHCP shorter than its fixed part or with options that run off the end
                         ///< (CVE-2021-3592)
  icmp_malformed,        ///< too short, or a length that does not fit (CVE-2020-10756)
  icmp_checksum,         ///< wrong
  icmp_type,             ///< a type the guest has no business to send (router advertisement, redirect)
  icmp_error_unmatched,  ///< an ICMP error that quotes nothing of ours
  ndp_spoofed,           ///< a neighbour message that claims an address of ours
  unknown_source_limit,  ///< too many frames waited for an answer about their source address
  tcp_flow_limit,        ///< too many TCP flows in libslirp
  udp_flow_limit,        ///< too many UDP flows in libslirp
  icmp_flow_limit,       ///< too many echo requests under way
  count_
};

inline constexpr std::size_t drop_reasons = static_cast<std::size_t>(DropReason::count_);

std::string_view drop_reason_name(DropReason reason);

class DropCounters {
 public:
  void count(DropReason reason) { ++counts_[static_cast<std::size_t>(reason)]; }
  std::uint64_t of(DropReason reason) const { return counts_[static_cast<std::size_t>(reason)]; }

 private:
  std::array<std::uint64_t, drop_reasons> counts_{};
};

}  // namespace nh
