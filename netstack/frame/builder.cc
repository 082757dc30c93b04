// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/frame/builder.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "netstack/frame/checksum.h"
#include "netstack/frame/wire.h"
#include "src/base/limits.h"

namespace nh {
namespace {

using wire::get32;
using wire::put16;
using wire::put32;

constexpr std::uint8_t default_ttl = 64;  // ip(7), IP_TTL
constexpr std::uint8_t ipv6_fragment = 44;
constexpr std::size_t largest_ip = 65535;
// Room for the largest packet of either family, on the stack. Not initialised, because most packets use little of it.
using Scratch = std::array<std::uint8_t, ethernet_header + ipv6_header + largest_ip>;

std::uint8_t* put(std::uint8_t* at, Bytes bytes) {
  return std::copy(bytes.begin(), bytes.end(), at);
}

// Identifies the fragments of one datagram. Packets go without DF, so that a router inside the
// guest may split them, and then the identification must not repeat soon (RFC 6864 4.2).
std::uint32_t next_id() {
  static thread_local std::uint32_t id = 0;
  return ++id;
}

struct IpPart {
  const Address& source;
  const Address& destination;
  std::uint8_t protocol;
  std::size_t length;  ///< bytes after the IP header (IPv6: after the fixed header)
  std::uint32_t id = 0;
  std::uint32_t fragment = 0;  ///< IPv4: the word of flags and offset
};

// Writes Ethernet and IP headers at the start of `frame`; returns the address after them.
std::uint8_t* put_headers(std::uint8_t* frame, const LinkPath& link, const IpPart& ip) {
  std::uint8_t* at = put(frame, link.to.bytes);
  at = put(at, link.from.bytes);
  put16(at, ip.source.is_v4() ? ether_type::ipv4 : ether_type::ipv6);
  at += 2;
  if (ip.source.is_v6()) {
    put32(at, 0x60000000);
    put16(at + 4, static_cast<std::uint32_t>(ip.length));
    at[6] = ip.protocol;
    at[7] = default_ttl;
    put(put(at + 8, ip.source.bytes()), ip.destination.bytes());
    return at + ipv6_header;
  }
  at[0] = 0x45;
  at[1] = 0;
  put16(at + 2, static_cast<std::uint32_t>(ipv4_header + ip.length));
  put16(at + 4, ip.id & 0xffff);
  put16(at + 6, ip.fragment);
  at[8] = default_ttl;
  at[9] = ip.protocol;
  put16(at + 10, 0);
  put(put(at + 12, ip.source.bytes()), ip.destination.bytes());
  put16(at + 10, checksum_finish(checksum_add(Bytes(at, ipv4_header), 0)));
  return at + ipv4_header;
}

std::array<std::uint8_t, udp_header> udp_part(const Endpoint& from, const Endpoint& to, Bytes payload) {
  std::array<std::uint8_t, udp_header> header{};
  const auto length = static_cast<std::uint32_t>(udp_header + payload.size());
  put16(header.data(), from.port);
  put16(header.data() + 2, to.port);
  put16(header.data() + 4, length);
  std::uint64_t sum = checksum_pseudo(from.address, to.address, protocol::udp, length);
  sum = checksum_add(payload, checksum_add(header, sum));
  const std::uint16_t checksum = checksum_finish(sum);
  put16(header.data() + 6,
        checksum == 0 ? 0xffff : checksum);  // RFC 768: a zero field means no checksum
  return header;
}

void send_fragments(FrameSink& sink, const LinkPath& link, const Endpoint& from, const Endpoint& to,
                    const std::array<std::uint8_t, udp_header>& udp, Bytes payload, unsigned mtu) {
  constexpr std::uint32_t more_v4 = 0x2000;
  const bool v4 = from.address.is_v4();
  const std::size_t overhead = v4 ? ipv4_header : ipv6_header + ipv6_fragment_header;
  const std::size_t piece = (mtu - overhead) & ~std::size_t{7};
  const std::size_t total = udp_header + payload.size();
  const std::uint32_t id = next_id();
  Scratch scratch;
  for (std::size_t offset = 0; offset < total; offset += piece) {
    const std::size_t size = std::min(piece, total - offset);
    const bool more = offset + size < total;
    const auto place = static_cast<std::uint32_t>(offset);
    std::uint8_t* at = scratch.data();
    if (v4) {
      at = put_headers(at, link, {from.address, to.address, protocol::udp, size, id, (more ? more_v4 : 0) | place / 8});
    } else {
      at = put_headers(at, link, {from.address, to.address, ipv6_fragment, ipv6_fragment_header + size});
      at[0] = protocol::udp;
      at[1] = 0;
      put16(at + 2,
            place | (more ? 1 : 0));  // the offset counts 8 bytes and stands 3 bits to the left
      put32(at + 4, id);
      at += ipv6_fragment_header;
    }
    if (offset == 0) {
      at = put(at, udp);
      at = put(at, payload.first(size - udp_header));
    } else {
      at = put(at, payload.subspan(offset - udp_header, size));
    }
    sink.send_to_guest(Bytes(scratch.data(), static_cast<std::size_t>(at - scratch.data())));
  }
}

// The part of an IP packet that an ICMP error quotes.
Bytes quote_of(Bytes whole, bool v4) {
  const std::size_t most = v4 ? 576 - ipv4_header - icmp_header : 1280 - ipv6_header - icmp_header;
  return whole.first(std::min(whole.size(), most));
}

bool is_icmp_error(const Packet& packet) {
  const Bytes message = packet.l4();
  if (message.empty()) return true;  // whether it is an error cannot be told
  const std::uint8_t type = message[0];
  if (packet.protocol == protocol::icmp)  // RFC 1122 3.2.2; 4 and 5: source quench, redirect
    return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
  return packet.protocol == protocol::icmpv6 && (type < 128 || type == 137);  // RFC 4443 2.4 (e); 137: redirect
}

bool may_be_answered(const Packet& packet) {
  if (!packet.is_ip() || packet.fragment_offset != 0) return false;
  if (packet.mac_destination.is_multicast() || packet.destination.is_multicast() || packet.destination.is_broadcast())
    return false;
  if (packet.source.is_unspecified() || packet.source.is_multicast() || packet.source.is_broadcast()) return false;
  const bool icmp = packet.protocol == protocol::icmp || packet.protocol == protocol::icmpv6;
  return !icmp || !is_icmp_error(packet);
}

struct IcmpCode {
  std::uint8_t type, code;
};

IcmpCode icmp_code(Family family, Unreachable kind) {
  const bool v4 = family == Family::v4;  // RFC 792 and RFC 1812 5.2.7.1; RFC 4443 3.1
  switch (kind) {
    case Unreachable::net:
      return v4 ? IcmpCode{3, 0} : IcmpCode{1, 0};
    case Unreachable::host:
      return v4 ? IcmpCode{3, 1} : IcmpCode{1, 3};
    case Unreachable::port:
      return v4 ? IcmpCode{3, 3} : IcmpCode{1, 4};
    case Unreachable::prohibited:
      return v4 ? IcmpCode{3, 13} : IcmpCode{1, 1};
    case Unreachable::protocol:
      return v4 ? IcmpCode{3, 2} : IcmpCode{1, 3};
    case Unreachable::source_route:
      return v4 ? IcmpCode{3, 5} : IcmpCode{1, 3};
    case Unreachable::host_unknown:
      return v4 ? IcmpCode{3, 7} : IcmpCode{1, 3};
    case Unreachable::host_isolated:
      return v4 ? IcmpCode{3, 8} : IcmpCode{1, 3};
  }
  return v4 ? IcmpCode{3, 1} : IcmpCode{1, 3};
}

void send_icmp_error(FrameSink& sink, const LinkPath& link, const Address& from, const Address& to, IcmpCode code,
                     std::uint32_t rest, Bytes quote) {
  const bool v4 = from.is_v4();
  const std::size_t length = icmp_header + quote.size();
  const std::uint8_t protocol = v4 ? protocol::icmp : protocol::icmpv6;
  std::array<std::uint8_t, ethernet_header + 1280> scratch;
  std::uint8_t* const icmp = put_headers(scratch.data(), link, {from, to, protocol, length, next_id()});
  icmp[0] = code.type;
  icmp[1] = code.code;
  put16(icmp + 2, 0);
  put32(icmp + 4, rest);
  std::uint8_t* const end = put(icmp + icmp_header, quote);
  const std::uint64_t pseudo = v4 ? 0 : checksum_pseudo(from, to, protocol, static_cast<std::uint32_t>(length));
  put16(icmp + 2, checksum_finish(checksum_add(Bytes(icmp, length), pseudo)));
  sink.send_to_guest(Bytes(scratch.data(), static_cast<std::size_t>(end - scratch.data())));
}

void send_error_about(FrameSink& sink, const LinkPath& link, const SentDatagram& datagram, const Address& reporter,
                      IcmpCode code, std::uint32_t rest) {
  NH_BUG_IF(datagram.from.address.family() != datagram.to.address.family() ||
            reporter.family() != datagram.to.address.family());
  const Bytes payload = quote_of(datagram.payload, reporter.is_v4());
  std::array<std::uint8_t, ethernet_header + 1280 + ipv6_header + udp_header> quoted;
  std::uint8_t* at =
      put_headers(quoted.data(), link,
                  {datagram.from.address, datagram.to.address, protocol::udp, udp_header + payload.size(), next_id()});
  at = put(put(at, udp_part(datagram.from, datagram.to, payload)), payload);
  const Bytes packet(quoted.data() + ethernet_header, static_cast<std::size_t>(at - quoted.data()) - ethernet_header);
  send_icmp_error(sink, link, reporter, datagram.from.address, code, rest, quote_of(packet, reporter.is_v4()));
}

}  // namespace

bool send_udp_run(FrameSink& sink, const LinkPath& link, const Endpoint& from, const Endpoint& to, MutableBytes buffer,
                  std::uint16_t segment) {
  NH_BUG_IF(from.address.family() != to.address.family() || buffer.size() <= udp_run_headroom ||
            buffer.size() > udp_run_headroom + udp_run_bytes || segment == 0);
  const std::size_t unused = from.address.is_v4() ? ipv6_header - ipv4_header : 0;
  const auto length = static_cast<std::uint32_t>(buffer.size() - udp_run_headroom + udp_header);
  std::uint8_t* const udp =
      put_headers(buffer.data() + unused, link, {from.address, to.address, protocol::udp, length, next_id()});
  put16(udp, from.port);
  put16(udp + 2, to.port);
  put16(udp + 4, length);
  const std::uint64_t pseudo = checksum_pseudo(from.address, to.address, protocol::udp, length);
  put16(udp + 6, checksum_finish(pseudo) ^ 0xffffu);
  return sink.send_run_to_guest(buffer.subspan(unused), segment);
}

void send_unreachable(FrameSink& sink, const LinkPath& link, const SentDatagram& datagram, const Address& reporter,
                      Unreachable kind) {
  send_error_about(sink, link, datagram, reporter, icmp_code(reporter.family(), kind), 0);
}

void send_too_big(FrameSink& sink, const LinkPath& link, const SentDatagram& datagram, const Address& reporter,
                  std::uint32_t mtu) {
  constexpr std::uint8_t fragmentation_needed = 4;
  const IcmpCode code =
      reporter.is_v4() ? IcmpCode{icmp_type::unreachable, fragmentation_needed} : IcmpCode{icmpv6_type::too_big, 0};
  send_error_about(sink, link, datagram, reporter, code, reporter.is_v4() ? std::min(mtu, 0xffffu) : mtu);
}

void send_udp(FrameSink& sink, const LinkPath& link, const Endpoint& from, const Endpoint& to, Bytes payload, unsigned mtu) {
  constexpr unsigned smallest_mtu = 68;  // RFC 791 3.2
  NH_BUG_IF(from.address.family() != to.address.family() || payload.size() > limits::datagram || mtu < smallest_mtu);
  const auto udp = udp_part(from, to, payload);
  const std::size_t ip = from.address.is_v4() ? ipv4_header : ipv6_header;
  if (ip + udp_header + payload.size() > mtu) return send_fragments(sink, link, from, to, udp, payload, mtu);
  Scratch scratch;
  std::uint8_t* at =
      put_headers(scratch.data(), link, {from.address, to.address, protocol::udp, udp_header + payload.size(), next_id()});
  at = put(put(at, udp), payload);
  sink.send_to_guest(Bytes(scratch.data(), static_cast<std::size_t>(at - scratch.data())));
}

bool send_unreachable(FrameSink& sink, const Packet& offending, const Address& from, Unreachable kind) {
  if (!may_be_answered(offending) || from.family() != offending.source.family()) return false;
  const LinkPath link{offending.mac_destination, offending.mac_source};
  const Bytes whole = Bytes(offending.frame).subspan(offending.ip_offset);
  send_icmp_error(sink, link, from, offending.source, icmp_code(from.family(), kind), 0, quote_of(whole, from.is_v4()));
  return true;
}

bool send_tcp_reset(FrameSink& sink, const Packet& segment) {
  if (!segment.is_tcp() || (segment.tcp_flags & tcp_flag::rst) != 0) return false;
  const Bytes header = Bytes(segment.l4());
  NH_BUG_IF(header.size() < tcp_header);
  const std::uint32_t sequence = get32(header.data() + 4);
  const std::uint32_t acknowledged = get32(header.data() + 8);
  const auto has = [&segment](std::uint8_t flag) { return (segment.tcp_flags & flag) != 0; };
  const auto length =
      static_cast<std::uint32_t>(segment.payload().size()) + (has(tcp_flag::syn) ? 1u : 0u) + (has(tcp_flag::fin) ? 1u : 0u);

  std::array<std::uint8_t, ethernet_header + ipv6_header + tcp_header> scratch{};
  const LinkPath link{segment.mac_destination, segment.mac_source};
  std::uint8_t* const tcp =
      put_headers(scratch.data(), link, {segment.destination, segment.source, protocol::tcp, tcp_header, next_id()});
  put16(tcp, segment.destination_port);
  put16(tcp + 2, segment.source_port);
  put32(tcp + 4, has(tcp_flag::ack) ? acknowledged : 0);
  put32(tcp + 8, has(tcp_flag::ack) ? 0 : sequence + length);
  tcp[12] = (tcp_header / 4) << 4;
  tcp[13] = has(tcp_flag::ack) ? tcp_flag::rst : tcp_flag::rst | tcp_flag::ack;
  const std::uint64_t pseudo = checksum_pseudo(segment.destination, segment.source, protocol::tcp, tcp_header);
  put16(tcp + 16, checksum_finish(checksum_add(Bytes(tcp, tcp_header), pseudo)));
  sink.send_to_guest(Bytes(scratch.data(), static_cast<std::size_t>(tcp + tcp_header - scratch.data())));
  return true;
}

}  // namespace nh
