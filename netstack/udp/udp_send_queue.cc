// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/udp/udp_send_queue.h"

#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "src/base/limits.h"

// netinet/udp.h has it since glibc 2.30 or so; the number is linux/udp.h's.
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

namespace nh {
namespace {

constexpr std::size_t most_segments = 64;             // UDP_MAX_SEGMENTS of linux/udp.h when UDP_SEGMENT came (Linux 4.18)
constexpr std::size_t most_bytes = limits::datagram;  // a message is one packet to the kernel's send path

bool must_be_apart(int error) {
  return error == EINVAL || error == EMSGSIZE || error == EIO || error == EOPNOTSUPP;
}

}  // namespace

// What a message's header points to.
struct UdpSendQueue::Prepared {
  SockAddr name;
  iovec part{};
  alignas(cmsghdr) std::array<std::uint8_t, CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(std::uint16_t))> control{};
};

UdpSendQueue::UdpSendQueue(Losses& losses)
    : losses_(losses),
      buffer_(std::make_unique_for_overwrite<std::uint8_t[]>(room)),
      prepared_(std::make_unique<Prepared[]>(messages)) {}
UdpSendQueue::~UdpSendQueue() = default;

bool UdpSendQueue::joins(const Message& last, std::uint64_t owner, const Way& way, Bytes payload) const {
  const bool last_was_whole = last.size == last.segment * last.count;  // a shorter one ends the message
  return last_was_whole && last.count < most_segments && !payload.empty() && payload.size() <= last.segment &&
         last.size + payload.size() <= most_bytes && last.owner == owner && last.way == way;
}

void UdpSendQueue::put(std::uint64_t owner, const Way& way, Bytes payload) {
  NH_BUG_IF(payload.size() > limits::datagram);
  if (used_ + payload.size() > room) flush();
  if (count_ > 0 && joins(queue_[count_ - 1], owner, way, payload)) {
    Message& last = queue_[count_ - 1];
    last.size += payload.size();
    ++last.count;
  } else {
    if (count_ == messages) flush();
    queue_[count_++] = {owner, way, used_, payload.size(), payload.size(), 1};
  }
  std::copy(payload.begin(), payload.end(), buffer_.get() + used_);
  used_ += payload.size();
}

void UdpSendQueue::flush() {
  const std::size_t count = std::exchange(count_, 0);
  for (std::size_t first = 0; first < count;) {
    std::size_t end = first + 1;
    while (end < count && queue_[end].way.fd == queue_[first].way.fd) ++end;
    send(first, end);
    first = end;
  }
  used_ = 0;
}

msghdr UdpSendQueue::prepare(Prepared& parts, const Message& message) const {
  const Way& way = message.way;
  parts.part = {buffer_.get() + message.begin, message.size};
  parts.control.fill(0);
  msghdr header{};
  header.msg_iov = &parts.part;
  header.msg_iovlen = 1;
  header.msg_control = parts.control.data();
  header.msg_controllen = parts.control.size();
  cmsghdr* at = CMSG_FIRSTHDR(&header);
  std::size_t used = 0;
  if (!way.connected) {
    parts.name =
        SockAddr(way.family == Family::v6 ? Endpoint{as_v6(way.remote.address), way.remote.port} : way.remote, way.scope);
    header.msg_name = parts.name.get();
    header.msg_namelen = parts.name.length;
    used = put_packet_info(at, way.family, way.local, way.scope);
    at = CMSG_NXTHDR(&header, at);
  }
  if (message.count > 1) {
    const auto segment = static_cast<std::uint16_t>(message.segment);
    *at = {.cmsg_len = CMSG_LEN(sizeof segment), .cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT};
    std::memcpy(CMSG_DATA(at), &segment, sizeof segment);
    used += CMSG_SPACE(sizeof segment);
  }
  header.msg_controllen = used;
  return header;
}

void UdpSendQueue::send(std::size_t first, std::size_t end) {
  for (std::size_t i = first; i < end; ++i) headers_[i].msg_hdr = prepare(prepared_[i], queue_[i]);
  const int fd = queue_[first].way.fd;
  bool again = true;
  while (first < end) {
    const int sent = sendmmsg(fd, headers_.data() + first, static_cast<unsigned>(end - first), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
      first += static_cast<std::size_t>(sent);
      again = true;
      continue;
    }
    const int error = errno;
    // What an ICMP error has left on the socket is told once, and not to the datagram that it is about.
    if (error != EAGAIN && std::exchange(again, false)) continue;
    const Message& message = queue_[first++];
    again = true;
    if (message.count > 1 && must_be_apart(error))
      send_apart(message);
    else
      losses_.lost(message.owner, message.count);
  }
}

void UdpSendQueue::send_apart(const Message& message) {
  for (std::size_t at = 0; at < message.size; at += message.segment) {
    Message one = message;
    one.begin = message.begin + at;
    one.size = std::min(message.segment, message.size - at);
    one.count = 1;
    Prepared parts;
    const msghdr header = prepare(parts, one);
    const auto sent = [&] { return sendmsg(one.way.fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0; };
    if (!sent() && (errno == EAGAIN || !sent())) losses_.lost(one.owner, 1);
  }
}

}  // namespace nh
