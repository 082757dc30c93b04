// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/bridge/dns_redirect.h"

#include <cstring>

#include "netstack/frame/checksum.h"
#include "netstack/frame/wire.h"

namespace nh {
namespace {

using wire::get16;
using wire::put16;

constexpr std::uint16_t dns_port = 53;

// Replaces `size` bytes (even) at `at` and updates the checksum fields (RFC 1624); null: there is no such field.
void replace(std::uint8_t* at, const std::uint8_t* with, std::size_t size, std::uint8_t* tcp_sum, std::uint8_t* ip_sum) {
  for (std::size_t i = 0; i < size; i += 2) {
    const std::uint16_t from = get16(at + i);
    const std::uint16_t to = get16(with + i);
    put16(tcp_sum, checksum_update(get16(tcp_sum), from, to));
    if (ip_sum != nullptr) put16(ip_sum, checksum_update(get16(ip_sum), from, to));
    put16(at + i, to);
  }
}

struct Layout {
  bool v4 = true;
  std::size_t address_size() const { return v4 ? 4 : 16; }
  std::size_t source() const { return ethernet_header + (v4 ? 12u : 8u); }
  std::size_t destination() const { return source() + address_size(); }
  std::size_t tcp() const { return ethernet_header + (v4 ? ipv4_header : ipv6_header); }
};

enum class Side : std::uint8_t { source, destination };

// Replaces address and port of `side` by `to`. The frame is TCP without IP options.
void rewrite(MutableBytes frame, bool v4, Side side, const Endpoint& to) {
  const Layout layout{.v4 = v4};
  std::uint8_t* tcp = &frame[layout.tcp()];
  std::uint8_t* tcp_sum = tcp + 16;
  std::uint8_t* ip_sum = v4 ? &frame[ethernet_header + 10] : nullptr;
  std::uint8_t* address = &frame[side == Side::source ? layout.source() : layout.destination()];
  replace(address, to.address.bytes().data(), layout.address_size(), tcp_sum, ip_sum);
  std::uint8_t port[2];
  put16(port, to.port);
  replace(tcp + (side == Side::source ? 0 : 2), port, 2, tcp_sum, nullptr);
}

}  // namespace

DnsRedirect::DnsRedirect(const AddressPlan& plan, std::optional<Endpoint> listener4, std::optional<Endpoint> listener6) {
  if (listener4) v4_ = Pair{.dns = {plan.v4.dns, dns_port}, .listener = *listener4};
  if (listener6 && plan.v6) v6_ = Pair{.dns = {plan.v6->dns, dns_port}, .listener = *listener6};
}

bool DnsRedirect::to_listener(const Packet& segment) const {
  const auto& pair = segment.destination.is_v4() ? v4_ : v6_;
  if (!pair) return false;
  rewrite(segment.frame, segment.destination.is_v4(), Side::destination, pair->listener);
  return true;
}

const DnsRedirect::Pair* DnsRedirect::pair_of(Bytes frame) const {
  if (frame.size() < ethernet_header + ipv4_header + tcp_header) return nullptr;
  const bool v4 = get16(&frame[12]) == ether_type::ipv4;
  const auto& pair = v4 ? v4_ : v6_;
  const Layout layout{.v4 = v4};
  if (!pair || frame.size() < layout.tcp() + tcp_header) return nullptr;
  if (frame[ethernet_header + (v4 ? 9u : 6u)] != protocol::tcp) return nullptr;
  if (std::memcmp(&frame[layout.source()], pair->listener.address.bytes().data(), layout.address_size()) != 0)
    return nullptr;
  return get16(&frame[layout.tcp()]) == pair->listener.port ? &*pair : nullptr;
}

bool DnsRedirect::is_from_listener(Bytes frame) const {
  return pair_of(frame) != nullptr;
}

void DnsRedirect::from_listener(MutableBytes frame) const {
  if (const Pair* pair = pair_of(frame)) rewrite(frame, pair->dns.address.is_v4(), Side::source, pair->dns);
}

}  // namespace nh
