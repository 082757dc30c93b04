// SPDX-License-Identifier: BSD-3-Clause
// DatagramRun: turns neighbouring UDP datagrams of one flow and one size into one frame for the guest.
//
// Handing a datagram to the TAP by a system call of its own, and through the guest's whole receive path, is most of what a
// forwarded datagram costs. As one frame with segment_size set (what a network card with receive offload makes) a run of
// them goes through once, and the guest's kernel takes it apart for sockets that have not asked for UDP_GRO. Nothing is kept
// beyond the batch: whoever adds flushes at its end. The order within a flow is kept.
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
