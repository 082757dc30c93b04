// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fuzz/guard_oracle.h"

#include <algorithm>

#include "tests/support/frames.h"

namespace nh::test {

void check_verdict(const GuardVerdict& verdict, const AddressPlan& plan) {
  if (verdict.action != GuardAction::pass) return;
  const Packet& packet = verdict.packet;
  if (packet.ether == ether_type::arp) {
    NH_BUG_IF(packet.frame.size() < 42);
    NH_BUG_IF(plan.is_ours(Address::from_bytes(packet.frame.subspan(28, 4))));
    return;
  }
  NH_BUG_IF(!packet.is_ip());
  NH_BUG_IF(packet.fragment);
  NH_BUG_IF(plan.is_ours(packet.source) || packet.source.is_loopback() || packet.source.is_multicast() ||
            packet.source.is_v4_mapped());
  NH_BUG_IF(packet.hop_limit == 0);
  const Bytes ip = packet.frame.subspan(ethernet_header);
  if (packet.source.is_v4()) {
    NH_BUG_IF(ip[0] != 0x45);
    NH_BUG_IF((ip[6] & 0x3f) != 0 || ip[7] != 0);
    NH_BUG_IF(std::size_t{ip[2]} << 8 != (ip.size() & 0xff00) || ip[3] != (ip.size() & 0xff));
  } else {
    NH_BUG_IF(ip[0] >> 4 != 6);
    NH_BUG_IF(ip[6] != protocol::tcp && ip[6] != protocol::udp && ip[6] != protocol::icmpv6);
    NH_BUG_IF((std::size_t{ip[4]} << 8 | ip[5]) + ipv6_header != ip.size());
  }
  const Bytes l4 = packet.l4();
  if (packet.is_tcp()) {
    NH_BUG_IF((l4[13] & tcp_flag::urg) != 0 || l4[18] != 0 || l4[19] != 0);
    NH_BUG_IF((l4[12] >> 4) < 5 || (l4[12] >> 4) * std::size_t{4} > l4.size());
  }
  if (packet.is_udp()) NH_BUG_IF((std::size_t{l4[4]} << 8 | l4[5]) != l4.size());
  if (packet.is_tcp() || packet.is_udp()) NH_BUG_IF((l4[0] | l4[1]) == 0 || (l4[2] | l4[3]) == 0);
  // What was verified, or changed, has the checksum that an independent computation gives.
  const bool verified = !packet.is_tcp() || (packet.tcp_flags & tcp_flag::syn) != 0;
  const bool absent = packet.is_udp() && packet.source.is_v4() && l4[6] == 0 && l4[7] == 0;
  if (!verified || absent) return;
  Frame again(packet.frame.begin(), packet.frame.end());
  fix_checksums(again);
  const std::size_t field = packet.l4_offset + (packet.is_tcp() ? 16u : packet.is_udp() ? 6u : 2u);
  const bool same = std::equal(again.begin(), again.end(), packet.frame.begin());
  // 0 and 0xffff are one number in this arithmetic (RFC 1624 3).
  const auto zero = [](Bytes frame, std::size_t at_byte) {
    return frame[at_byte] == frame[at_byte + 1] && (frame[at_byte] == 0 || frame[at_byte] == 0xff);
  };
  NH_BUG_IF(!same && !(zero(again, field) && zero(packet.frame, field)) &&
            !(packet.source.is_v4() && zero(again, 24) && zero(packet.frame, 24)));
}

}  // namespace nh::test
