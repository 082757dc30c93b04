// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/bridge/segment_merger.h"

#include <cstring>

#include "netstack/frame/checksum.h"
#include "netstack/frame/packet.h"
#include "netstack/frame/wire.h"
#include "src/base/limits.h"

namespace nh {
namespace {

using wire::get16;
using wire::get32;
using wire::put16;

// Offsets in the TCP header (RFC 9293 3.1). The frames are libslirp's, which has no IP options and no extension headers.
constexpr std::size_t tcp_sequence = 4, tcp_ack = 8, tcp_data_offset = 12, tcp_flag_bits = 13, tcp_window = 14,
                      tcp_check = 16;

struct Shape {
  std::size_t ip = 0;       ///< size of the IP header; 0: not a mergeable TCP data segment
  std::size_t payload = 0;  ///< bytes
};

// A plain data segment: TCP without options, flags ACK or PSH|ACK.
Shape shape_of(Bytes frame) {
  if (frame.size() <= ethernet_header + ipv4_header + tcp_header) return {};
  const std::uint16_t ether = get16(&frame[12]);
  const std::uint8_t* ip = &frame[ethernet_header];
  std::size_t ip_size = 0;
  std::size_t total = 0;
  if (ether == ether_type::ipv4 && ip[0] == 0x45 && ip[9] == protocol::tcp && (get16(ip + 6) & 0x3fff) == 0) {
    ip_size = ipv4_header;
    total = get16(ip + 2);
  } else if (ether == ether_type::ipv6 && ip[6] == protocol::tcp) {
    ip_size = ipv6_header;
    total = ipv6_header + get16(ip + 4);
  } else {
    return {};
  }
  const std::size_t headers = ip_size + tcp_header;
  if (total <= headers || ethernet_header + total > frame.size()) return {};
  const std::uint8_t* tcp = ip + ip_size;
  if ((tcp[tcp_data_offset] >> 4) != tcp_header / 4) return {};
  if ((tcp[tcp_flag_bits] & ~tcp_flag::psh) != tcp_flag::ack) return {};
  return {.ip = ip_size, .payload = total - headers};
}

}  // namespace

SegmentMerger::SegmentMerger() : buffer_(new std::uint8_t[limits::frame_size]) {}

SegmentMerger::Offer SegmentMerger::offer(Bytes frame) {
  const Shape shape = shape_of(frame);
  if (size_ != 0) return shape.ip != 0 && append(frame) ? Offer::kept : Offer::flush_first;
  if (shape.ip == 0) return Offer::not_tcp;
  header_size_ = ethernet_header + shape.ip + tcp_header;
  size_ = header_size_ + shape.payload;
  std::memcpy(buffer_.get(), frame.data(), size_);
  segment_size_ = shape.payload;
  segments_ = 1;
  const std::uint8_t* tcp = buffer_.get() + header_size_ - tcp_header;
  next_sequence_ = get32(tcp + tcp_sequence) + static_cast<std::uint32_t>(shape.payload);
  complete_ = (tcp[tcp_flag_bits] & tcp_flag::psh) != 0;
  return Offer::kept;
}

bool SegmentMerger::append(Bytes frame) {
  const Shape shape = shape_of(frame);
  const std::size_t ip_size = header_size_ - ethernet_header - tcp_header;
  if (complete_ || shape.ip != ip_size || shape.payload > segment_size_) return false;
  if (size_ + shape.payload > ethernet_header + 65535) return false;
  std::uint8_t* ours = buffer_.get();
  const std::uint8_t* theirs = frame.data();
  // Equal: Ethernet header; IP header except length, id and checksum; ports, acknowledgement, window.
  if (std::memcmp(ours, theirs, ethernet_header) != 0) return false;
  const std::uint8_t* ip = ours + ethernet_header;
  const std::uint8_t* other_ip = theirs + ethernet_header;
  const bool same_ip = ip_size == ipv4_header
                           ? std::memcmp(ip, other_ip, 2) == 0 && std::memcmp(ip + 6, other_ip + 6, 4) == 0 &&
                                 std::memcmp(ip + 12, other_ip + 12, 8) == 0
                           : std::memcmp(ip, other_ip, 4) == 0 && std::memcmp(ip + 6, other_ip + 6, 34) == 0;
  if (!same_ip) return false;
  std::uint8_t* tcp = ours + header_size_ - tcp_header;
  const std::uint8_t* other_tcp = theirs + header_size_ - tcp_header;
  if (std::memcmp(tcp, other_tcp, 4) != 0 || get32(other_tcp + tcp_sequence) != next_sequence_) return false;
  if (std::memcmp(tcp + tcp_ack, other_tcp + tcp_ack, 5) != 0 ||
      std::memcmp(tcp + tcp_window, other_tcp + tcp_window, 2) != 0)
    return false;

  std::memcpy(ours + size_, theirs + header_size_, shape.payload);
  size_ += shape.payload;
  next_sequence_ += static_cast<std::uint32_t>(shape.payload);
  ++segments_;
  const bool pushed = (other_tcp[tcp_flag_bits] & tcp_flag::psh) != 0;
  if (pushed) tcp[tcp_flag_bits] |= tcp_flag::psh;
  complete_ = pushed || shape.payload < segment_size_;
  return true;
}

SegmentMerger::Pending SegmentMerger::take() {
  const std::size_t size = std::exchange(size_, 0);
  const Bytes frame(buffer_.get(), size);
  if (size == 0 || segments_ == 1) return {.frame = frame, .offload = {}};

  std::uint8_t* ip = buffer_.get() + ethernet_header;
  const std::size_t ip_size = header_size_ - ethernet_header - tcp_header;
  const std::size_t tcp_size = size - ethernet_header - ip_size;
  const bool v4 = ip_size == ipv4_header;
  if (v4) {
    put16(ip + 2, size - ethernet_header);
    put16(ip + 10, 0);
    put16(ip + 10, checksum_finish(checksum_add(Bytes(ip, ipv4_header), 0)));
  } else {
    put16(ip + 4, tcp_size);
  }
  const std::size_t address_size = v4 ? 4 : 16;
  const Bytes source(ip + (v4 ? 12 : 8), address_size);
  const Bytes destination(ip + (v4 ? 16 : 24), address_size);
  // A partial checksum is the pseudo-header's sum, not complemented (VIRTIO_NET_HDR_F_NEEDS_CSUM in linux/virtio_net.h).
  const auto partial = static_cast<std::uint16_t>(~checksum_finish(checksum_pseudo(
      Address::from_bytes(source), Address::from_bytes(destination), protocol::tcp, static_cast<std::uint32_t>(tcp_size))));
  put16(ip + ip_size + tcp_check, partial);
  return {.frame = frame, .offload = {.segment_size = static_cast<std::uint16_t>(segment_size_), .partial_checksum = true}};
}

}  // namespace nh
