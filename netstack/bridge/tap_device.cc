// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/bridge/tap_device.h"

#include <sys/uio.h>

#include <cerrno>

#include "netstack/frame/checksum.h"
#include "netstack/frame/packet.h"
#include "src/base/limits.h"

namespace nh {
namespace {

// struct virtio_net_hdr of linux/virtio_net.h, 10 bytes, host byte order. That header is not valid C++ in every version (a
// member is named `class`).
struct VnetHeader {
  std::uint8_t flags = 0;
  std::uint8_t gso_type = 0;
  std::uint16_t header_size = 0;  // bytes in front of the payload of a segment
  std::uint16_t gso_size = 0;     // payload of each segment
  std::uint16_t checksum_start = 0;
  std::uint16_t checksum_offset = 0;
};
static_assert(sizeof(VnetHeader) == 10);
constexpr std::uint8_t needs_checksum = 1, data_valid = 2;       // VIRTIO_NET_HDR_F_NEEDS_CSUM, _DATA_VALID
constexpr std::uint8_t gso_tcp4 = 1, gso_tcp6 = 4, gso_udp = 5;  // VIRTIO_NET_HDR_GSO_TCPV4, _TCPV6, _UDP_L4

// Computes the checksum that the guest's kernel left to offload; the field at checksum_start + checksum_offset holds the
// pseudo-header's sum. False if the header points outside the frame, which a kernel never does.
bool complete_checksum(MutableBytes frame, const VnetHeader& header) {
  const std::size_t start = header.checksum_start;
  const std::size_t field = start + header.checksum_offset;
  if (start >= frame.size() || field + 2 > frame.size()) return false;
  const std::uint16_t sum = checksum_finish(checksum_add(frame.subspan(start), 0));
  // A UDP checksum of zero means "none"; all ones is its equal in ones' complement (RFC 768).
  const std::uint16_t value = sum == 0 && header.checksum_offset == 6 ? 0xffff : sum;
  frame[field] = static_cast<std::uint8_t>(value >> 8);
  frame[field + 1] = static_cast<std::uint8_t>(value);
  return true;
}

VnetHeader header_for(Bytes frame, const Offload& offload) {
  VnetHeader header{};
  if (!offload.partial_checksum) {
    // Computed by us or libslirp on this machine: the guest's kernel need not verify it.
    header.flags = data_valid;
    return header;
  }
  const bool v6 = frame[12] == 0x86;
  const std::size_t ip = v6 ? ipv6_header : ipv4_header;
  header.flags = needs_checksum;
  header.checksum_start = static_cast<std::uint16_t>(ethernet_header + ip);
  header.checksum_offset = offload.datagrams ? 6 : 16;  // of a UDP or TCP header (RFC 768, RFC 9293 3.1)
  if (offload.segment_size != 0) {
    header.gso_type = offload.datagrams ? gso_udp : v6 ? gso_tcp6 : gso_tcp4;
    header.gso_size = offload.segment_size;
    header.header_size = static_cast<std::uint16_t>(ethernet_header + ip + (offload.datagrams ? udp_header : tcp_header));
  }
  return header;
}

}  // namespace

TapDevice::TapDevice(UniqueFd tap, bool vnet_header)
    : tap_(std::move(tap)),
      vnet_header_(vnet_header),
      datagram_runs_(vnet_header),
      buffer_(new std::uint8_t[limits::frame_size]) {}

Result<MutableBytes> TapDevice::read() {
  VnetHeader header{};
  iovec parts[2] = {{&header, sizeof header}, {buffer_.get(), limits::frame_size}};
  const std::size_t header_size = vnet_header_ ? sizeof header : 0;
  while (true) {
    const ssize_t got = vnet_header_ ? readv(tap_.get(), parts, 2) : readv(tap_.get(), parts + 1, 1);
    if (got < 0) {
      if (errno == EAGAIN) return MutableBytes();
      if (errno == EINTR) continue;
      return sys_error("reading from the TAP");
    }
    if (static_cast<std::size_t>(got) <= header_size) continue;
    const MutableBytes frame(buffer_.get(), static_cast<std::size_t>(got) - header_size);
    if ((header.flags & needs_checksum) != 0 && !complete_checksum(frame, header)) continue;
    return frame;
  }
}

Taken TapDevice::write(Bytes frame, const Offload& offload) {
  VnetHeader header = vnet_header_ ? header_for(frame, offload) : VnetHeader{};
  iovec parts[2] = {{&header, sizeof header}, {const_cast<std::uint8_t*>(frame.data()), frame.size()}};
  while (true) {
    const ssize_t put = vnet_header_ ? writev(tap_.get(), parts, 2) : writev(tap_.get(), parts + 1, 1);
    if (put >= 0) return Taken::yes;
    if (errno == EINTR) continue;
    // EINVAL for a well-formed frame: the kernel does not know VIRTIO_NET_HDR_GSO_UDP_L4.
    if (errno == EINVAL && offload.datagrams) datagram_runs_ = false;
    return errno == EAGAIN ? Taken::later : Taken::lost;
  }
}

}  // namespace nh
