// SPDX-License-Identifier: BSD-3-Clause
// TCP frames as libslirp makes them, for the tests of this folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "netstack/frame/checksum.h"
#include "netstack/frame/packet.h"

namespace nh::test {

struct TcpFrame {
  Endpoint from{Address::parse("198.51.100.7").value(), 80};
  Endpoint to{Address::parse("10.0.2.100").value(), 40000};
  std::uint32_t sequence = 1000, acknowledgement = 77;
  std::uint8_t flags = tcp_flag::ack;
  std::uint16_t window = 65535, ip_id = 1;
  std::string payload = {};

  std::vector<std::uint8_t> build() const {
    const bool v4 = from.address.is_v4();
    const std::size_t ip_size = v4 ? ipv4_header : ipv6_header;
    const std::size_t tcp_size = tcp_header + payload.size();
    std::vector<std::uint8_t> f(ethernet_header + ip_size + tcp_size);
    const auto put = [&f](std::size_t at, std::size_t value) {
      f[at] = static_cast<std::uint8_t>(value >> 8);
      f[at + 1] = static_cast<std::uint8_t>(value);
    };
    f[0] = 2;
    f[6] = 0x52;
    put(12, v4 ? ether_type::ipv4 : ether_type::ipv6);
    const std::size_t ip = ethernet_header;
    const auto put_address = [&f](std::size_t at, const Address& address) {
      for (const std::uint8_t byte : address.bytes()) f[at++] = byte;
    };
    if (v4) {
      f[ip] = 0x45;
      put(ip + 2, ip_size + tcp_size);
      put(ip + 4, ip_id);
      f[ip + 8] = 64;
      f[ip + 9] = protocol::tcp;
      put_address(ip + 12, from.address);
      put_address(ip + 16, to.address);
      put(ip + 10, checksum_finish(checksum_add(Bytes(f).subspan(ip, ipv4_header), 0)));
    } else {
      f[ip] = 0x60;
      put(ip + 4, tcp_size);
      f[ip + 6] = protocol::tcp;
      f[ip + 7] = 64;
      put_address(ip + 8, from.address);
      put_address(ip + 24, to.address);
    }
    const std::size_t tcp = ip + ip_size;
    put(tcp, from.port);
    put(tcp + 2, to.port);
    put(tcp + 4, sequence >> 16);
    put(tcp + 6, sequence & 0xffff);
    put(tcp + 8, acknowledgement >> 16);
    put(tcp + 10, acknowledgement & 0xffff);
    f[tcp + 12] = 0x50;
    f[tcp + 13] = flags;
    put(tcp + 14, window);
    std::copy(payload.begin(), payload.end(), f.begin() + static_cast<std::ptrdiff_t>(tcp + tcp_header));
    put(tcp + 16,
        checksum_finish(checksum_add(Bytes(f).subspan(tcp), checksum_pseudo(from.address, to.address, protocol::tcp,
                                                                            static_cast<std::uint32_t>(tcp_size)))));
    return f;
  }
};

/// True if the IPv4 header's and the TCP checksum of a frame without IP options are right.
inline bool checksums_right(Bytes f) {
  const bool v4 = f[12] == 8;
  const std::size_t ip = ethernet_header;
  const std::size_t ip_size = v4 ? ipv4_header : ipv6_header;
  if (v4 && checksum_finish(checksum_add(f.subspan(ip, ipv4_header), 0)) != 0) return false;
  const std::size_t address = v4 ? 4 : 16;
  const Bytes addresses = f.subspan(ip + (v4 ? 12 : 8), 2 * address);
  const Bytes tcp = f.subspan(ip + ip_size);
  return checksum_finish(checksum_add(tcp, checksum_pseudo(Address::from_bytes(addresses.first(address)),
                                                           Address::from_bytes(addresses.subspan(address)), protocol::tcp,
                                                           static_cast<std::uint32_t>(tcp.size())))) == 0;
}

}  // namespace nh::test
