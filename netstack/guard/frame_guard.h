// SPDX-License-Identifier: BSD-3-Clause
// FrameGuard: the station before everything else. What libslirp has been broken by never reaches
// it.
//
// Theory of operation. Each frame of the guest is parsed once (parse_packet), then checked in this
// order: link (sizes, ether type, ARP), IP header, source address, then by protocol. A frame that
// fails is dropped and counted under one DropReason; nothing that the guest sends is ever an Error.
// Destinations are not judged here but by Reachability.
//
// What is changed rather than dropped: the TCP urgent pointer is taken away (libslirp 4.7.0 reads
// past its buffer with it: CVE-2026-9539), the data stays in line, as RFC 6093 recommends to
// everyone. UDP and ICMP fragments are put together here and passed on whole, so that no reassembly
// of libslirp (CVE-2019-14378, CVE-2020-1983) ever runs. TCP never needs fragments: the segment
// size is negotiated.
//
// Checksums. IPv4 headers, UDP, ICMP and ICMPv6 are verified, because the stations other than
// libslirp act upon them and do not look again; so are TCP segments with SYN, which make new flows.
// Other TCP segments go only to libslirp, which verifies them itself: reading every byte twice
// would be the greatest cost of the general path.
//
// Cost of a TCP data segment: no allocation, no hash, one pass over the headers.
#pragma once

#include <vector>

#include "netstack/frame/packet.h"
#include "netstack/frame/drop_reason.h"
#include "netstack/guard/reassembly.h"
#include "netstack/guard/source_rule.h"
#include "netstack/plan/address_plan.h"
#include "src/base/clock.h"

namespace nh {

struct GuardSetup {
  AddressPlan plan;
  unsigned max_ip_size = 1500;  ///< bytes of one IP packet: the MTU, or 65535 when the TAP hands over TSO segments
  bool ipv6 = true;
  /// Partial checksums of the TAP were completed before. False: transport checksums may be partial,
  /// and are neither verified nor updated.
  bool checksums_complete = true;
};

enum class GuardAction : std::uint8_t {
  pass,
  drop,           ///< counted
  hold,           ///< a fragment, kept until its datagram is whole
  unknown_source  ///< nothing is decided: inspect it again after set_sources, or count(ip_source)
};

struct GuardVerdict {
  GuardAction action = GuardAction::drop;
  /// pass: the packet, in the frame that was given or in the guard's own buffer (a reassembled
  /// datagram), which is valid until the next call. An ICMP error passes with icmp_error set and
  /// its quote read: it is for the forward that sent the quoted packet, never for libslirp;
  /// count(icmp_error_unmatched) if nobody takes it.
  Packet packet;
};

class FrameGuard {
 public:
  /// `clock` must outlive the guard.
  FrameGuard(const GuardSetup& setup, const Clock& clock);
  FrameGuard(const FrameGuard&) = delete;
  FrameGuard& operator=(const FrameGuard&) = delete;

  /// Judges one frame. May change it: see the theory of operation.
  GuardVerdict inspect(MutableBytes frame);
  /// The TAP's present addresses. Until the first call any address of the plan's networks is a good
  /// source.
  void set_sources(const std::vector<Address>& addresses) { sources_.set(addresses); }
  /// Gives up datagrams whose rest has not come in limits::reassembly_time. inspect() does it too
  /// where a new fragment comes.
  void expire();
  /// Counts a drop that a station behind the guard decided.
  void count(DropReason reason) { drops_.count(reason); }

  const DropCounters& drops() const { return drops_; }
  std::uint64_t urg_cleared() const { return urg_cleared_; }
  std::uint64_t reassembled() const { return reassembled_; }

 private:
  GuardVerdict drop(DropReason reason);
  GuardVerdict fragment(const Packet& piece);
  std::optional<DropReason> check_link(const Packet& packet, std::size_t frame_size) const;
  std::optional<DropReason> check_transport(Packet& packet);
  void clear_urgent(Packet& packet);

  GuardSetup setup_;
  SourceRule sources_;
  DropCounters drops_;
  Reassembly reassembly_;
  std::vector<std::uint8_t> whole_;
  std::uint64_t urg_cleared_ = 0;
  std::uint64_t reassembled_ = 0;
};

}  // namespace nh
