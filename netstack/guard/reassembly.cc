// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/guard/reassembly.h"

#include <algorithm>

#include "netstack/frame/checksum.h"
#include "netstack/frame/wire.h"
#include "src/base/limits.h"

namespace nh {
namespace {

constexpr std::size_t ip_length_max = 65535;  // the length field has 16 bits
constexpr std::uint32_t fragment_unit = 8;

std::size_t ip_header_size(const Address& source) {
  return source.is_v4() ? ipv4_header : ipv6_header;
}

// Empty, not a multiple of 8 bytes (but the last), or ending beyond the largest IP packet.
bool is_malformed(const Packet& piece) {
  const std::size_t size = piece.l4().size();
  // The length field of IPv4 counts the header (RFC 791 3.1), that of IPv6 does not (RFC 8200 3).
  const std::size_t counted = piece.source.is_v4() ? ipv4_header : 0;
  return size == 0 || (piece.more_fragments && size % fragment_unit != 0) ||
         counted + piece.fragment_offset + size > ip_length_max;
}

}  // namespace

Reassembly::State Reassembly::add(const Packet& piece, std::vector<std::uint8_t>& out) {
  expire();
  if (is_malformed(piece)) {
    drops_.count(DropReason::fragment_malformed);
    return State::dropped;
  }
  auto datagram = find(piece);
  if (datagram != datagrams_.end() && datagram->condemned) {
    drops_.count(DropReason::fragment_overlap);
    return State::dropped;
  }
  make_room(piece, datagram);
  if (datagram == datagrams_.end()) {
    datagrams_.push_back({.id = piece.fragment_id,
                          .protocol = piece.protocol,
                          .source = piece.source,
                          .destination = piece.destination,
                          .born = clock_.now(),
                          .headers = {},
                          .pieces = {}});
    datagram = std::prev(datagrams_.end());
  }
  const std::uint32_t begin = piece.fragment_offset;
  const auto end = static_cast<std::uint32_t>(begin + piece.l4().size());
  std::vector<Piece>& pieces = datagram->pieces;
  if (pieces.size() >= limits::reassembly_fragments) return condemn(*datagram, DropReason::fragment_limit);
  const auto next = std::find_if(pieces.begin(), pieces.end(), [begin](const Piece& p) { return p.begin >= begin; });
  const bool overlaps =
      (next != pieces.end() && next->begin < end) || (next != pieces.begin() && std::prev(next)->end() > begin);
  const bool beyond = datagram->end != 0 && (end > datagram->end || !piece.more_fragments);
  const bool short_end = !piece.more_fragments && !pieces.empty() && pieces.back().end() > end;
  if (overlaps || beyond || short_end) return condemn(*datagram, DropReason::fragment_overlap);

  if (!piece.more_fragments) datagram->end = end;
  if (begin == 0) {
    const auto headers = piece.frame.first(piece.ip_offset + ip_header_size(piece.source));
    datagram->headers.assign(headers.begin(), headers.end());
  }
  const MutableBytes data = piece.l4();
  pieces.insert(next, Piece{begin, {data.begin(), data.end()}});
  datagram->have += end - begin;
  bytes_ += end - begin;
  if (datagram->end == 0 || datagram->have != datagram->end) return State::waiting;

  build(*datagram, out);
  bytes_ -= datagram->have;
  datagrams_.erase(datagram);
  return State::whole;
}

void Reassembly::expire() {
  while (!datagrams_.empty() && clock_.now() - datagrams_.front().born >= limits::reassembly_time) {
    const bool condemned = datagrams_.front().condemned;  // then it was counted before
    bytes_ -= datagrams_.front().have;
    datagrams_.pop_front();
    if (!condemned) drops_.count(DropReason::fragment_timeout);
  }
}

Reassembly::Datagrams::iterator Reassembly::find(const Packet& piece) {
  return std::find_if(datagrams_.begin(), datagrams_.end(), [&piece](const Datagram& d) {
    return d.id == piece.fragment_id && d.protocol == piece.protocol && d.source == piece.source &&
           d.destination == piece.destination;
  });
}

Reassembly::State Reassembly::condemn(Datagram& datagram, DropReason reason) {
  drops_.count(reason);
  bytes_ -= datagram.have;
  datagram.have = 0;
  datagram.condemned = true;
  datagram.pieces = {};
  datagram.headers = {};
  return State::dropped;
}

void Reassembly::give_up(Datagrams::iterator datagram, DropReason reason) {
  if (!datagram->condemned) drops_.count(reason);
  bytes_ -= datagram->have;
  datagrams_.erase(datagram);
}

// Drops the oldest datagrams other than `keep` until a new one (if `keep` is none) and the piece's bytes fit.
void Reassembly::make_room(const Packet& piece, Datagrams::iterator keep) {
  const std::size_t more = keep == datagrams_.end() ? 1 : 0;
  auto oldest = datagrams_.begin();
  while (oldest != datagrams_.end() && (datagrams_.size() + more > limits::reassembly_datagrams ||
                                        bytes_ + piece.l4().size() > limits::reassembly_bytes)) {
    const auto next = std::next(oldest);
    if (oldest != keep) give_up(oldest, DropReason::fragment_limit);
    oldest = next;
  }
}

void Reassembly::build(const Datagram& datagram, std::vector<std::uint8_t>& out) {
  out = datagram.headers;
  for (const Piece& piece : datagram.pieces) out.insert(out.end(), piece.data.begin(), piece.data.end());
  const MutableBytes ip = MutableBytes(out).subspan(ethernet_header);
  if (datagram.source.is_v4()) {
    wire::store16(ip, 2, static_cast<std::uint16_t>(ip.size()));
    wire::store16(ip, 6, 0);
    wire::store16(ip, 10, 0);
    wire::store16(ip, 10, checksum_finish(checksum_add(ip.first(ipv4_header), 0)));
  } else {
    wire::store16(ip, 4, static_cast<std::uint16_t>(ip.size() - ipv6_header));
    ip[6] = datagram.protocol;
  }
}

}  // namespace nh
