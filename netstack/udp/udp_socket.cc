// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/udp/udp_socket.h"

#include <linux/errqueue.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "src/base/limits.h"

// netinet/udp.h has it since glibc 2.30 or so; the number is linux/udp.h's.
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

namespace nh {
namespace {

Address without_map(const Address& address) {
  return address.is_v4_mapped() ? Address::from_bytes(address.bytes().subspan(12)) : address;
}

Result<> set_option(int fd, int level, int name, int value, const char* text) {
  if (setsockopt(fd, level, name, &value, sizeof value) != 0)
    return sys_error(std::string("setting ") + text + " on a UDP socket");
  return Ok{};
}

std::uint32_t scope_of(const SockAddr& address) {
  if (address.storage.ss_family != AF_INET6) return 0;
  sockaddr_in6 in{};
  std::memcpy(&in, &address.storage, sizeof in);
  return in.sin6_scope_id;
}

}  // namespace

Address as_v6(const Address& address) {
  if (address.is_v6()) return address;
  std::array<std::uint8_t, 16> raw{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  std::copy(address.bytes().begin(), address.bytes().end(), raw.begin() + 12);
  return Address::from_bytes(raw);
}

std::size_t put_packet_info(cmsghdr* at, Family family, const Address& local, std::uint32_t scope) {
  if (family == Family::v6) {
    in6_pktinfo info{};
    const Address from = as_v6(local);
    std::copy(from.bytes().begin(), from.bytes().end(), info.ipi6_addr.s6_addr);
    info.ipi6_ifindex = scope;
    *at = {.cmsg_len = CMSG_LEN(sizeof info), .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO};
    std::memcpy(CMSG_DATA(at), &info, sizeof info);
    return CMSG_SPACE(sizeof info);
  }
  in_pktinfo info{};
  info.ipi_spec_dst.s_addr = htonl(local.v4_value());
  *at = {.cmsg_len = CMSG_LEN(sizeof info), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
  std::memcpy(CMSG_DATA(at), &info, sizeof info);
  return CMSG_SPACE(sizeof info);
}

UdpBatch::UdpBatch() : payloads_(std::make_unique_for_overwrite<std::uint8_t[]>(size * payload_size)) {
  for (std::size_t i = 0; i < size; ++i) {
    parts_[i] = {payloads_.get() + i * payload_size, payload_size};
    prepare(i);
  }
}

// The kernel writes lengths over what it was given.
void UdpBatch::prepare(std::size_t index) {
  msghdr& header = messages_[index].msg_hdr;
  header.msg_name = names_[index].get();
  header.msg_namelen = sizeof names_[index].storage;
  header.msg_iov = &parts_[index];
  header.msg_iovlen = 1;
  header.msg_control = controls_[index].bytes.data();
  header.msg_controllen = controls_[index].bytes.size();
  header.msg_flags = 0;
}

Result<UdpSocket> UdpSocket::adopt(UniqueFd bound) {
  int type = 0;
  socklen_t size = sizeof type;
  SockAddr name;
  if (getsockopt(bound.get(), SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
      getsockname(bound.get(), name.get(), &name.length) != 0)
    return sys_error("reading the address of a UDP socket");
  const bool v6 = name.storage.ss_family == AF_INET6;
  if (type != SOCK_DGRAM || (!v6 && name.storage.ss_family != AF_INET))
    return Error{.code = Code::invalid, .what = "the socket is not a UDP socket"};
  const int fd = bound.get();
  if (v6) {
    NH_TRY(set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO"));
    NH_TRY(set_option(fd, IPPROTO_IPV6, IPV6_RECVERR, 1, "IPV6_RECVERR"));
  } else {
    NH_TRY(set_option(fd, IPPROTO_IP, IP_PKTINFO, 1, "IP_PKTINFO"));
  }
  // A dual-stack socket needs it too, for the IPv4 packets that it sends.
  NH_TRY(set_option(fd, IPPROTO_IP, IP_RECVERR, 1, "IP_RECVERR"));
  // These make it faster where the kernel has them, nothing else.
  const int on = 1, bytes = limits::udp_socket_buffer;
  setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  // Of an AF_INET6 socket too, which may have an address that is IPv4's: the family of the socket counts.
  NH_LET(endpoint, name.endpoint());
  return UdpSocket(std::move(bound), endpoint, v6 ? Family::v6 : Family::v4);
}

std::size_t UdpSocket::receive(UdpBatch& batch) const {
  for (std::size_t i = 0; i < batch.used_; ++i) batch.prepare(i);
  const int count = recvmmsg(fd_.get(), batch.messages_.data(), UdpBatch::size, MSG_DONTWAIT, nullptr);
  batch.used_ = count > 0 ? static_cast<std::size_t>(count) : 0;
  return batch.used_;
}

ReceivedDatagram UdpSocket::datagram(const UdpBatch& batch, std::size_t index) const {
  ReceivedDatagram datagram;
  auto remote = batch.names_[index].endpoint();
  NH_BUG_IF(!remote);
  datagram.remote = *remote;
  datagram.scope = remote->address.is_link_local() ? scope_of(batch.names_[index]) : 0;
  datagram.local = bound_.address;
  datagram.payload = Bytes(batch.payloads_.get() + index * UdpBatch::payload_size, batch.messages_[index].msg_len);
  msghdr header = batch.messages_[index].msg_hdr;
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr; control = CMSG_NXTHDR(&header, control)) {
    if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
      in_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(control), sizeof info);
      datagram.local = Address::v4(ntohl(info.ipi_spec_dst.s_addr));
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(control), sizeof info);
      datagram.local = without_map(Address::from_bytes(Bytes(info.ipi6_addr.s6_addr, 16)));
    } else if (control->cmsg_level == IPPROTO_UDP && control->cmsg_type == UDP_GRO) {
      int size = 0;
      std::memcpy(&size, CMSG_DATA(control), sizeof size);
      if (size > 0 && static_cast<std::size_t>(size) < datagram.payload.size())
        datagram.segment = static_cast<std::size_t>(size);
    }
  }
  return datagram;
}

std::optional<SendError> UdpSocket::next_error(UdpBatch& batch) const {
  // Its own room for the control messages: the error with the offender's address is larger than packet info.
  struct alignas(cmsghdr) Control {
    std::array<std::uint8_t, 256> bytes;
  } control;
  batch.used_ = 1;  // its first message's buffers are used
  batch.prepare(0);
  msghdr header = batch.messages_[0].msg_hdr;
  header.msg_control = control.bytes.data();
  header.msg_controllen = control.bytes.size();
  const ssize_t size = recvmsg(fd_.get(), &header, MSG_ERRQUEUE | MSG_DONTWAIT);
  if (size < 0) return std::nullopt;
  SendError found;
  // The destination of the datagram; the kernel gives none for errors that are not about one.
  if (const auto remote = batch.names_[0].endpoint(); remote && header.msg_namelen > 0) found.remote = *remote;
  found.scope = found.remote.address.is_link_local() ? scope_of(batch.names_[0]) : 0;
  found.local = bound_.address;
  found.payload = Bytes(batch.payloads_.get(), static_cast<std::size_t>(size));
  for (cmsghdr* at = CMSG_FIRSTHDR(&header); at != nullptr; at = CMSG_NXTHDR(&header, at)) {
    const bool v4 = at->cmsg_level == IPPROTO_IP, v6 = at->cmsg_level == IPPROTO_IPV6;
    if ((v4 && at->cmsg_type == IP_RECVERR) || (v6 && at->cmsg_type == IPV6_RECVERR)) {
      sock_extended_err what{};
      std::memcpy(&what, CMSG_DATA(at), sizeof what);
      found.error = static_cast<int>(what.ee_errno);
      found.mtu = found.error == EMSGSIZE ? what.ee_info : 0;
      SockAddr offender;  // SO_EE_OFFENDER: stands behind the error, AF_UNSPEC if the error is the machine's own
      const std::size_t rest = at->cmsg_len - CMSG_LEN(sizeof what);
      std::memcpy(offender.get(), CMSG_DATA(at) + sizeof what, std::min(rest, sizeof(sockaddr_in6)));
      const auto who = offender.endpoint();
      found.by_remote = who && who->address == found.remote.address;
    } else if (v4 && at->cmsg_type == IP_PKTINFO) {
      in_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(at), sizeof info);
      found.local = Address::v4(ntohl(info.ipi_addr.s_addr));  // where the error went is where the datagram came from
    } else if (v6 && at->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(at), sizeof info);
      found.local = without_map(Address::from_bytes(Bytes(info.ipi6_addr.s6_addr, 16)));
    }
  }
  return found;
}

bool UdpSocket::send(const Endpoint& remote, std::uint32_t scope, const Address& local, Bytes payload) const {
  SockAddr name(family_ == Family::v6 ? Endpoint{as_v6(remote.address), remote.port} : remote, scope);
  UdpBatch::Control control{};
  iovec part{const_cast<std::uint8_t*>(payload.data()), payload.size()};  // sendmsg(2) only reads it
  msghdr header{};
  header.msg_name = name.get();
  header.msg_namelen = name.length;
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.bytes.data();
  header.msg_controllen = control.bytes.size();
  header.msg_controllen = put_packet_info(CMSG_FIRSTHDR(&header), family_, local, scope);
  return sendmsg(fd_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

}  // namespace nh
