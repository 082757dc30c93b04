// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/guard/sequence_gate.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "netstack/frame/checksum.h"
#include "netstack/frame/packet.h"
#include "netstack/frame/wire.h"

namespace nh {
namespace {

constexpr std::size_t sequence_field = 4, acknowledgement_field = 8, flags_field = 13, window_field = 14,
                      checksum_field = 16;

// The fields of a well-formed TCP frame without IPv4 options and extension headers.
struct Segment {
  Bytes frame;
  bool v4;
  std::size_t l4;

  static std::optional<Segment> of(Bytes frame) {
    if (frame.size() < ethernet_header + ipv4_header + tcp_header) return {};
    const std::uint16_t type = wire::load16(frame, 12);
    if (type == ether_type::ipv4 && frame[14] == 0x45 && frame[23] == protocol::tcp) return Segment{frame, true, 34};
    if (type == ether_type::ipv6 && frame[20] == protocol::tcp && frame.size() >= ethernet_header + ipv6_header + tcp_header)
      return Segment{frame, false, 54};
    return {};
  }
  Bytes source() const { return frame.subspan(v4 ? 26 : 22, v4 ? 4 : 16); }
  Bytes destination() const { return frame.subspan(v4 ? 30 : 38, v4 ? 4 : 16); }
  std::size_t payload() const { return l4 + std::size_t{4} * (frame[l4 + 12] >> 4); }
  std::uint8_t flags() const { return frame[l4 + flags_field]; }
  Endpoint from() const { return {Address::from_bytes(source()), wire::load16(frame, l4)}; }
  Endpoint to() const { return {Address::from_bytes(destination()), wire::load16(frame, l4 + 2)}; }
};

// The number that tcp_reass() reads beyond its list, in host byte order.
std::uint32_t fatal_value(Bytes guest_address) {
  if (guest_address.size() == 4) return 0;
  std::uint32_t value = 0;
  std::memcpy(&value, guest_address.data() + 4, sizeof value);
  return value;
}

void shorten(std::vector<std::uint8_t>& frame, const Segment& shape, std::size_t payload) {
  frame.resize(shape.payload() + payload);
  const MutableBytes ip = MutableBytes(frame).subspan(ethernet_header);
  if (shape.v4) {
    wire::store16(ip, 2, static_cast<std::uint16_t>(ip.size()));
    wire::store16(ip, 10, 0);
    wire::store16(ip, 10, checksum_finish(checksum_add(ip.first(ipv4_header), 0)));
  } else {
    wire::store16(ip, 4, static_cast<std::uint16_t>(ip.size() - ipv6_header));
  }
  // The guest retransmits what was cut off, its FIN too.
  frame[shape.l4 + flags_field] &= static_cast<std::uint8_t>(~unsigned{tcp_flag::fin});
  const MutableBytes segment = MutableBytes(frame).subspan(shape.l4);
  wire::store16(segment, checksum_field, 0);
  const std::uint64_t pseudo = checksum_pseudo(Address::from_bytes(shape.source()), Address::from_bytes(shape.destination()),
                                               protocol::tcp, static_cast<std::uint32_t>(segment.size()));
  wire::store16(segment, checksum_field, checksum_finish(checksum_add(segment, pseudo)));
}

bool checksum_ok(const Segment& segment) {
  const Bytes l4 = segment.frame.subspan(segment.l4);
  return checksum_finish(checksum_add(
             l4, checksum_pseudo(Address::from_bytes(segment.source()), Address::from_bytes(segment.destination()),
                                 protocol::tcp, static_cast<std::uint32_t>(l4.size())))) == 0;
}

}  // namespace

Bytes SequenceGate::admit(Bytes frame) {
  const auto segment = Segment::of(frame);
  if (!segment || segment->payload() > frame.size()) return frame;
  const bool syn = (segment->flags() & tcp_flag::syn) != 0;
  const auto size = static_cast<std::uint32_t>(frame.size() - segment->payload());
  const std::uint32_t begin = wire::load32(frame, segment->l4 + sequence_field) + (syn ? 1 : 0);
  // From the segment's first byte to the value. For nearly all segments this is beyond their end.
  const std::uint32_t distance = fatal_value(segment->source()) - begin;
  if (distance > size) return frame;
  if (distance == 0) {
    // It begins there. No segment has ended there, so libslirp does not expect this number yet, and only a SYN or FIN could make
    // it do so.
    if (!syn && (segment->flags() & tcp_flag::fin) == 0) return frame;
    if (!syn && size > 0) return frame;
    ++cut_;
    return {};
  }
  const Endpoint guest = segment->from(), far = segment->to();
  const Edge& known = place(guest, far);
  std::uint32_t keep = distance - 1;
  if (!syn && distance < size && known.guest == guest && known.far == far) {
    const std::uint32_t room = known.edge - begin;  // libslirp's announced window
    if (room > distance && room <= window_max) keep = std::min(size, room);
  }
  if (keep == size) return frame;
  ++cut_;
  if (!checksum_ok(*segment)) return {};  // shortening it would make the checksum right
  shorter_.assign(frame.begin(), frame.end());
  shorten(shorter_, *segment, keep);
  return shorter_;
}

void SequenceGate::answered(Bytes frame) {
  const auto segment = Segment::of(frame);
  if (!segment || (segment->flags() & tcp_flag::ack) == 0) return;
  const std::uint32_t next = wire::load32(frame, segment->l4 + acknowledgement_field);
  const std::uint32_t edge = next + wire::load16(frame, segment->l4 + window_field);
  if (fatal_value(segment->destination()) - next > window_max) return;
  const Endpoint guest = segment->to(), far = segment->from();
  Edge& known = place(guest, far);
  // libslirp never shrinks a window that it has announced, so the furthest end counts.
  const bool same = known.guest == guest && known.far == far && (segment->flags() & tcp_flag::syn) == 0;
  if (same && edge - known.edge > window_max && known.edge - next <= window_max) return;
  known = {guest, far, edge};
}

SequenceGate::Edge& SequenceGate::place(const Endpoint& guest, const Endpoint& far) {
  SipHash13 hash(process_hash_key);
  hash_append(hash, guest);
  hash_append(hash, far);
  return edges_[hash.finish() % places];
}

}  // namespace nh
