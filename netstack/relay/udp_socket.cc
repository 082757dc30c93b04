// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/udp_socket.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "netstack/relay/bind_error.h"

namespace nh {
namespace {

// On an AF_INET6 socket IPv4 addresses are spoken of in their v4-mapped form (ipv6(7)), in pktinfo
// too.
Address as_v6(const Address& address) {
  if (address.is_v6()) return address;
  std::array<std::uint8_t, 16> raw{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  std::copy(address.bytes().begin(), address.bytes().end(), raw.begin() + 12);
  return Address::from_bytes(raw);
}

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

UdpBatch::UdpBatch()
    : payloads_(std::make_unique_for_overwrite<std::uint8_t[]>(size * payload_size)) {}

Result<UdpSocket> UdpSocket::bind(const Endpoint& endpoint) {
  const bool v6 = endpoint.address.is_v6();
  UniqueFd fd(socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return bind_error(errno, Transport::udp, endpoint);
  if (v6) {
    NH_TRY(set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY,
                      endpoint.address.is_unspecified() ? 0 : 1, "IPV6_V6ONLY"));
    NH_TRY(set_option(fd.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO"));
  } else {
    NH_TRY(set_option(fd.get(), IPPROTO_IP, IP_PKTINFO, 1, "IP_PKTINFO"));
  }
  const SockAddr address(endpoint);
  if (::bind(fd.get(), address.get(), address.length) != 0)
    return bind_error(errno, Transport::udp, endpoint);
  SockAddr bound;
  if (getsockname(fd.get(), bound.get(), &bound.length) != 0)
    return sys_error("reading the address of a UDP socket");
  NH_LET(bound_endpoint, bound.endpoint());
  return UdpSocket(std::move(fd), bound_endpoint);
}

std::size_t UdpSocket::receive(UdpBatch& batch) const {
  for (std::size_t i = 0; i < UdpBatch::size; ++i) {
    batch.parts_[i] = {batch.payloads_.get() + i * UdpBatch::payload_size, UdpBatch::payload_size};
    batch.messages_[i] = {};
    msghdr& header = batch.messages_[i].msg_hdr;
    header.msg_name = batch.names_[i].get();
    header.msg_namelen = sizeof batch.names_[i].storage;
    header.msg_iov = &batch.parts_[i];
    header.msg_iovlen = 1;
    header.msg_control = batch.controls_[i].bytes.data();
    header.msg_controllen = batch.controls_[i].bytes.size();
  }
  const int count =
      recvmmsg(fd_.get(), batch.messages_.data(), UdpBatch::size, MSG_DONTWAIT, nullptr);
  return count > 0 ? static_cast<std::size_t>(count) : 0;
}

ReceivedDatagram UdpSocket::datagram(const UdpBatch& batch, std::size_t index) const {
  ReceivedDatagram datagram;
  auto remote = batch.names_[index].endpoint();
  NH_BUG_IF(!remote);
  datagram.remote = *remote;
  datagram.scope = remote->address.is_link_local() ? scope_of(batch.names_[index]) : 0;
  datagram.local = bound_.address;
  datagram.payload =
      Bytes(batch.payloads_.get() + index * UdpBatch::payload_size, batch.messages_[index].msg_len);
  msghdr header = batch.messages_[index].msg_hdr;
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr;
       control = CMSG_NXTHDR(&header, control)) {
    if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
      in_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(control), sizeof info);
      datagram.local = Address::v4(ntohl(info.ipi_spec_dst.s_addr));
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(control), sizeof info);
      datagram.local = without_map(Address::from_bytes(Bytes(info.ipi6_addr.s6_addr, 16)));
    }
  }
  return datagram;
}

bool UdpSocket::send(const Endpoint& remote, std::uint32_t scope, const Address& local,
                     Bytes payload) const {
  const bool v6 = bound_.address.is_v6();
  SockAddr name(v6 ? Endpoint{as_v6(remote.address), remote.port} : remote, scope);
  UdpBatch::Control control{};
  iovec part{const_cast<std::uint8_t*>(payload.data()),
             payload.size()};  // sendmsg(2) only reads it
  msghdr header{};
  header.msg_name = name.get();
  header.msg_namelen = name.length;
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.bytes.data();
  header.msg_controllen = v6 ? CMSG_SPACE(sizeof(in6_pktinfo)) : CMSG_SPACE(sizeof(in_pktinfo));
  cmsghdr* const first = CMSG_FIRSTHDR(&header);
  if (v6) {
    in6_pktinfo info{};
    const Address from = as_v6(local);
    std::copy(from.bytes().begin(), from.bytes().end(), info.ipi6_addr.s6_addr);
    info.ipi6_ifindex = scope;
    *first = {
        .cmsg_len = CMSG_LEN(sizeof info), .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO};
    std::memcpy(CMSG_DATA(first), &info, sizeof info);
  } else {
    in_pktinfo info{};
    info.ipi_spec_dst.s_addr = htonl(local.v4_value());
    *first = {.cmsg_len = CMSG_LEN(sizeof info), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
    std::memcpy(CMSG_DATA(first), &info, sizeof info);
  }
  return sendmsg(fd_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

}  // namespace nh
