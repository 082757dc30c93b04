// SPDX-License-Identifier: BSD-3-Clause
// DatagramRun: merges consecutive UDP datagrams of one flow and one size into one frame for the guest (as UDP GRO).
//
// A system call and a pass through the guest's receive path for each is most of the cost of a forwarded datagram. A run is
// one frame with a virtio-net segment size, as a network card with receive offload delivers it; the guest's kernel splits it for
// sockets without UDP_GRO. Nothing is kept beyond the batch: the caller of add() flushes at its end. Keeps the order within a
// flow.
#pragma once

#include <memory>

#include "netstack/frame/builder.h"

namespace nh {

class DatagramRun {
 public:
  /// `sink` must outlive it. `mtu`: bytes of IP packet.
  DatagramRun(FrameSink& sink, unsigned mtu);

  /// Sends the datagram, or keeps a copy until flush(). As send_udp().
  void add(const LinkPath& link, const Endpoint& from, const Endpoint& to, Bytes payload);
  void flush();

 private:
  bool joins(const Endpoint& from, const Endpoint& to, Bytes payload) const;

  FrameSink& sink_;
  unsigned mtu_;
  std::unique_ptr<std::uint8_t[]> buffer_;
  LinkPath link_{};
  Endpoint from_, to_;
  std::size_t size_ = 0;     ///< payload bytes kept
  std::size_t segment_ = 0;  ///< bytes of the first one
  std::size_t count_ = 0;    ///< datagrams kept
};

}  // namespace nh
