// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/frames.h"

#include <algorithm>

namespace nh::test {
namespace {

constexpr std::uint8_t fragment_header = 44;

void put16(Frame& out, std::size_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}

void put32(Frame& out, std::uint32_t value) {
  put16(out, value >> 16);
  put16(out, value & 0xffff);
}

void put(Frame& out, Bytes bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void set16(MutableBytes bytes, std::size_t offset, std::size_t value) {
  bytes[offset] = static_cast<std::uint8_t>(value >> 8);
  bytes[offset + 1] = static_cast<std::uint8_t>(value);
}

std::size_t get16(Bytes bytes, std::size_t offset) {
  return std::size_t{bytes[offset]} << 8 | bytes[offset + 1];
}

std::uint64_t sum(Bytes bytes) {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) total += i % 2 == 0 ? std::uint64_t{bytes[i]} << 8 : bytes[i];
  return total;
}

std::size_t fold(std::uint64_t total) {
  while (total > 0xffff) total = (total & 0xffff) + (total >> 16);
  return ~total & 0xffff;
}

void fix_transport(MutableBytes l4, Bytes addresses, std::uint8_t protocol) {
  const std::size_t field = protocol == protocol::tcp ? 16 : protocol == protocol::udp ? 6 : 2;
  const bool icmp = protocol == protocol::icmp || protocol == protocol::icmpv6;
  if (!icmp && protocol != protocol::tcp && protocol != protocol::udp) return;
  if (l4.size() < field + 2) return;
  set16(l4, field, 0);
  std::uint64_t total = sum(l4);
  if (protocol != protocol::icmp) total += sum(addresses) + protocol + l4.size();
  const std::size_t value = fold(total);
  set16(l4, field, protocol == protocol::udp && value == 0 ? 0xffff : value);
}

}  // namespace

AddressPlan plan(unsigned mtu) {
  return AddressPlan::make(Cidr::parse("10.0.2.0/24").value(), Cidr::parse("fd00::/64").value(), mtu).value();
}

Address addr(std::string_view text) {
  return Address::parse(text).value();
}
Endpoint at(std::string_view address, std::uint16_t port) {
  return {addr(address), port};
}
Frame text(std::string_view payload) {
  return {payload.begin(), payload.end()};
}

Frame ethernet(std::uint16_t type, Bytes payload, const MacAddress& source) {
  Frame out{0x52, 0x55, 10, 0, 2, 2};
  put(out, source.bytes);
  put16(out, type);
  put(out, payload);
  return out;
}

Frame ip(const Address& from, const Address& to, std::uint8_t protocol, Bytes l4, std::uint8_t hop_limit) {
  Frame out;
  if (from.is_v4()) {
    out = {0x45, 0};
    put16(out, ipv4_header + l4.size());
    put(out, std::array<std::uint8_t, 4>{0, 1, 0, 0});
    put(out, std::array<std::uint8_t, 4>{hop_limit, protocol, 0, 0});
  } else {
    out = {0x60, 0, 0, 0};
    put16(out, l4.size());
    put(out, std::array<std::uint8_t, 2>{protocol, hop_limit});
  }
  put(out, from.bytes());
  put(out, to.bytes());
  put(out, l4);
  Frame frame = ethernet(from.is_v4() ? ether_type::ipv4 : ether_type::ipv6, out);
  fix_checksums(frame);
  return frame;
}

Frame udp(const Endpoint& from, const Endpoint& to, Bytes payload) {
  Frame l4;
  put16(l4, from.port);
  put16(l4, to.port);
  put16(l4, udp_header + payload.size());
  put16(l4, 0);
  put(l4, payload);
  return ip(from.address, to.address, protocol::udp, l4);
}

Frame tcp(const Endpoint& from, const Endpoint& to, const TcpFields& fields, Bytes payload) {
  Frame l4;
  put16(l4, from.port);
  put16(l4, to.port);
  put32(l4, fields.sequence);
  put32(l4, fields.acknowledgement);
  Frame options = fields.options;
  while (options.size() % 4 != 0) options.push_back(0);
  l4.push_back(static_cast<std::uint8_t>((tcp_header + options.size()) / 4 << 4));
  l4.push_back(fields.flags);
  put16(l4, fields.window);
  put16(l4, 0);
  put16(l4, fields.urgent);
  put(l4, options);
  put(l4, payload);
  return ip(from.address, to.address, protocol::tcp, l4);
}

Frame icmp(const Address& from, const Address& to, std::uint8_t type, std::uint8_t code, Bytes rest) {
  Frame l4{type, code, 0, 0};
  put(l4, rest);
  return ip(from, to, from.is_v4() ? protocol::icmp : protocol::icmpv6, l4, 255);
}

Frame arp(std::uint16_t operation, const Address& sender, const Address& target, const MacAddress& mac) {
  Frame out{0, 1, 8, 0, 6, 4};
  put16(out, operation);
  put(out, mac.bytes);
  put(out, sender.bytes());
  put(out, MacAddress{}.bytes);
  put(out, target.bytes());
  return ethernet(ether_type::arp, out, mac);
}

Frame dhcp_message(Bytes options) {
  Frame out{1, 1, 6, 0, 0x12, 0x34, 0x56, 0x78};
  out.resize(28);
  put(out, guest_mac.bytes);
  out.resize(236);
  put(out, std::array<std::uint8_t, 4>{0x63, 0x82, 0x53, 0x63});
  put(out, options);
  return out;
}

Frame piece_of(const Frame& whole, std::size_t offset, std::size_t size, bool more, std::uint32_t id) {
  const bool v4 = whole[13] == 0;
  const std::size_t header = ethernet_header + (v4 ? ipv4_header : ipv6_header);
  Frame out(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(header));
  if (v4) {
    set16(out, ethernet_header + 2, ipv4_header + size);
    set16(out, ethernet_header + 4, id & 0xffff);
    set16(out, ethernet_header + 6, offset / 8 | (more ? 0x2000 : 0));
  } else {
    set16(out, ethernet_header + 4, ipv6_fragment_header + size);
    out.push_back(out[ethernet_header + 6]);
    out.push_back(0);
    out[ethernet_header + 6] = fragment_header;
    put16(out, offset | (more ? 1 : 0));
    put32(out, id);
  }
  put(out, Bytes(whole).subspan(header + offset, size));
  if (v4) fix_checksums(out);
  return out;
}

std::vector<Frame> fragments(const Frame& whole, std::size_t size, std::uint32_t id) {
  const std::size_t total = whole.size() - ethernet_header - (whole[13] == 0 ? ipv4_header : ipv6_header);
  std::vector<Frame> out;
  for (std::size_t offset = 0; offset < total; offset += size)
    out.push_back(piece_of(whole, offset, std::min(size, total - offset), offset + size < total, id));
  return out;
}

void fix_checksums(MutableBytes frame) {
  if (frame.size() < ethernet_header) return;
  const MutableBytes packet = frame.subspan(ethernet_header);
  const std::size_t type = get16(frame, 12);
  if (type == ether_type::ipv4 && packet.size() >= ipv4_header) {
    set16(packet, 10, 0);
    set16(packet, 10, fold(sum(packet.first(ipv4_header))));
    const bool fragment = (get16(packet, 6) & 0x3fff) != 0;
    const std::size_t end = std::clamp(get16(packet, 2), ipv4_header, packet.size());
    if (!fragment) fix_transport(packet.first(end).subspan(ipv4_header), packet.subspan(12, 8), packet[9]);
  }
  if (type == ether_type::ipv6 && packet.size() >= ipv6_header) {
    const std::size_t end = std::min(ipv6_header + get16(packet, 4), packet.size());
    fix_transport(packet.first(end).subspan(ipv6_header), packet.subspan(8, 32), packet[6]);
  }
}

}  // namespace nh::test
