// SPDX-License-Identifier: BSD-3-Clause
// UdpSocket: a bound host UDP socket that tells the local address of each datagram and answers from
// the same one.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <memory>

#include "netstack/relay/forward_spec.h"
#include "src/base/unique_fd.h"

namespace nh {

/// A datagram as it came; the payload is valid until the next receive into the same batch.
struct ReceivedDatagram {
  Endpoint remote;
  std::uint32_t scope = 0;  ///< interface of a link-local remote
  Address local;
  Bytes payload;
};

/// Buffers for recvmmsg(2), shared by all sockets of a loop. Only the pages that datagrams touch
/// cost memory.
class UdpBatch {
 public:
  static constexpr std::size_t size = 16;
  UdpBatch();

 private:
  friend class UdpSocket;
  static constexpr std::size_t payload_size = 65536;  // beyond any datagram, so that none is cut
  struct alignas(cmsghdr) Control {
    std::array<std::uint8_t, CMSG_SPACE(sizeof(in6_pktinfo))> bytes;
  };
  std::unique_ptr<std::uint8_t[]> payloads_;
  std::array<mmsghdr, size> messages_;
  std::array<iovec, size> parts_;
  std::array<SockAddr, size> names_;
  std::array<Control, size> controls_;
};

class UdpSocket {
 public:
  /// Bound and non-blocking; [::] takes IPv4 too. Errors: those of bind_error.
  static Result<UdpSocket> bind(const Endpoint& endpoint);

  int fd() const { return fd_.get(); }
  const Endpoint& bound() const { return bound_; }

  /// Reads up to UdpBatch::size datagrams; 0 when there is none or the socket reports an error
  /// (which it then forgets).
  std::size_t receive(UdpBatch& batch) const;
  /// The datagram of `batch`, index < what receive() gave.
  ReceivedDatagram datagram(const UdpBatch& batch, std::size_t index) const;
  /// Sends from `local`. False: the kernel did not take it.
  bool send(const Endpoint& remote, std::uint32_t scope, const Address& local, Bytes payload) const;

 private:
  UdpSocket(UniqueFd fd, const Endpoint& bound) : fd_(std::move(fd)), bound_(bound) {}
  UniqueFd fd_;
  Endpoint bound_;
};

}  // namespace nh
