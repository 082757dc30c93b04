// SPDX-License-Identifier: BSD-3-Clause
// UdpSocket: a bound host UDP socket that tells the local address of each datagram and answers from
// the same one (IP_PKTINFO), takes many datagrams in one system call, those of a sender or network
// card that has put several into one packet as they are (UDP_GRO), and tells what ICMP errors came
// for datagrams that it has sent (IP_RECVERR).
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "src/base/address.h"
#include "src/base/unique_fd.h"

namespace nh {

/// A datagram as it came; the payload is valid until the next receive into the same batch.
struct ReceivedDatagram {
  Endpoint remote;
  std::uint32_t scope = 0;  ///< interface of a link-local remote
  Address local;
  Bytes payload;
  /// 0: one datagram. Else several, of this size each, the last may be shorter.
  std::size_t segment = 0;
};

/// What became of a datagram that was sent.
struct SendError {
  Endpoint remote;
  Address local;            ///< the address that it was sent from
  std::uint32_t scope = 0;  ///< interface of a link-local remote
  int error = 0;            ///< errno: ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EACCES, EMSGSIZE, ...
  std::uint32_t mtu = 0;    ///< of EMSGSIZE: what the path takes
  bool by_remote = false;   ///< the remote host itself says so, no router
  Bytes payload;            ///< of the datagram, its beginning at most; valid until the next receive
};

/// Buffers for recvmmsg(2), shared by all sockets of a loop. Only the pages that datagrams touch
/// cost memory.
class UdpBatch {
 public:
  static constexpr std::size_t size = 64;
  UdpBatch();

 private:
  friend class UdpSocket;
  static constexpr std::size_t payload_size = 65536;  // beyond any datagram, so that none is cut
  struct alignas(cmsghdr) Control {
    std::array<std::uint8_t, CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(int))> bytes;
  };
  void prepare(std::size_t index);
  std::unique_ptr<std::uint8_t[]> payloads_;
  std::size_t used_ = 0;  ///< messages that the last receive has filled
  std::array<mmsghdr, size> messages_{};
  std::array<iovec, size> parts_{};
  std::array<SockAddr, size> names_;
  std::array<Control, size> controls_;
};

class UdpSocket {
 public:
  /// A socket that somebody else has bound and made non-blocking. invalid: it is no UDP socket.
  static Result<UdpSocket> adopt(UniqueFd bound);

  int fd() const { return fd_.get(); }
  const Endpoint& bound() const { return bound_; }
  /// The socket's own; bound().address of an AF_INET6 socket may be IPv4's (v4-mapped).
  Family family() const { return family_; }

  /// Reads up to UdpBatch::size times; 0 when there is nothing or the socket reports an error
  /// (which it then forgets; next_error() still has it).
  std::size_t receive(UdpBatch& batch) const;
  /// The datagram of `batch`, index < what receive() gave.
  ReceivedDatagram datagram(const UdpBatch& batch, std::size_t index) const;
  /// The oldest error that was not asked for yet. For the bits EPOLLERR.
  std::optional<SendError> next_error(UdpBatch& batch) const;
  /// Sends from `local`. False: the kernel did not take it.
  bool send(const Endpoint& remote, std::uint32_t scope, const Address& local, Bytes payload) const;

 private:
  UdpSocket(UniqueFd fd, const Endpoint& bound, Family family) : fd_(std::move(fd)), bound_(bound), family_(family) {}
  UniqueFd fd_;
  Endpoint bound_;
  Family family_;
};

/// On an AF_INET6 socket IPv4 addresses are spoken of in their v4-mapped form (ipv6(7)), in pktinfo too.
Address as_v6(const Address& address);
/// Writes the control message that says which address a datagram leaves from, on a socket of
/// `family`; gives its size. `at` has room for CMSG_SPACE(sizeof(in6_pktinfo)).
std::size_t put_packet_info(cmsghdr* at, Family family, const Address& local, std::uint32_t scope);

}  // namespace nh
