// SPDX-License-Identifier: BSD-3-Clause
// Reassembly of UDP and ICMP fragments, IPv4 (RFC 791 3.2) and IPv6 (RFC 8200 4.5), within the
// bounds of limits.h.
//
// Theory of operation. The fragments of a datagram share source, destination, protocol and identification. They are kept in
// order of offset; nothing is allocated for bytes that have not arrived. Any overlap, even an exact repetition, condemns the
// datagram: its fragments are freed, and an entry stays until reassembly_time is over, so that the rest of it does not begin a
// new one (RFC 5722). At the limit of datagrams or bytes the oldest is dropped. A complete datagram is returned as one frame
// with the headers of its first fragment, corrected: IPv4 total length, flags, offset and checksum; IPv6 payload length and
// next header, the fragment header removed. The caller parses it as any other frame.
#pragma once

#include <list>
#include <vector>

#include "netstack/frame/drop_reason.h"
#include "netstack/frame/packet.h"
#include "src/base/clock.h"

namespace nh {

class Reassembly {
 public:
  enum class State : std::uint8_t { dropped, waiting, whole };

  /// Both must outlive this object; every drop is counted in `drops`.
  Reassembly(const Clock& clock, DropCounters& drops) : clock_(clock), drops_(drops) {}

  /// Takes a fragment. If the result is `whole`, `out` is the frame, and the datagram is forgotten.
  State add(const Packet& piece, std::vector<std::uint8_t>& out);
  void expire();
  std::size_t datagrams() const { return datagrams_.size(); }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Piece {
    std::uint32_t begin;
    std::vector<std::uint8_t> data;
    std::uint32_t end() const { return begin + static_cast<std::uint32_t>(data.size()); }
  };
  struct Datagram {
    std::uint32_t id;
    std::uint8_t protocol;
    Address source, destination;
    Instant born;
    bool condemned = false;
    std::uint32_t end = 0;  ///< bytes in the whole; 0 while the last fragment has not come
    std::uint32_t have = 0;
    std::vector<std::uint8_t> headers;  ///< Ethernet and IP header of the first fragment
    std::vector<Piece> pieces;
  };
  using Datagrams = std::list<Datagram>;  // the oldest first

  Datagrams::iterator find(const Packet& piece);
  State condemn(Datagram& datagram, DropReason reason);
  void give_up(Datagrams::iterator datagram, DropReason reason);
  void make_room(const Packet& piece, Datagrams::iterator keep);
  static void build(const Datagram& datagram, std::vector<std::uint8_t>& out);

  const Clock& clock_;
  DropCounters& drops_;
  Datagrams datagrams_;
  std::size_t bytes_ = 0;
};

}  // namespace nh
