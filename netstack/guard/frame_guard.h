// SPDX-License-Identifier: BSD-3-Clause
// FrameGuard: validates the guest's frames before any other part sees them. It drops what has exploited libslirp before.
//
// Theory of operation. Each frame of the guest is parsed once (parse_packet), then checked in this
// order: link (sizes, ether type, ARP), IP header, source address, then by protocol. A frame that
// fails is dropped and counted under one DropReason; nothing that the guest sends is ever an Error.
// Destinations are not judged here but by Reachability.
//
// Changed instead of dropped: the TCP urgent pointer is cleared (libslirp 4.7.0 reads past its buffer with it: CVE-2026-9539)
// and the data stays in line, as RFC 6093 recommends. UDP and ICMP fragments are reassembled here and passed on whole, so that
// libslirp's reassembly (CVE-2019-14378, CVE-2020-1983) never runs. Fragments of TCP are dropped: its segment size is
// negotiated.
//
// Checksums. IPv4 headers, UDP, ICMP and ICMPv6 are verified, because everything but libslirp relies on that; so are TCP
// segments with SYN, which open flows. Other TCP segments go to libslirp only, which verifies them itself; reading every byte
// twice would be the greatest cost of the general path.
//
// Cost of a TCP data segment: no allocation, no hash, one pass over the headers.
#pragma once

#include <vector>

#include "netstack/frame/drop_reason.h"
#include "netstack/frame/packet.h"
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
  unknown_source  ///< undecided: to be inspected again after set_sources(), else count(ip_source)
};

struct GuardVerdict {
  GuardAction action = GuardAction::drop;
  /// If passed, the packet, in the inspected frame or (a reassembled datagram) in a buffer of the guard that is valid until
  /// the next call. An ICMP error has icmp_error set and its quote read; it belongs to the forward that sent the quoted packet
  /// and must not go to libslirp; without such a forward the caller counts icmp_error_unmatched.
  Packet packet;
};

class FrameGuard {
 public:
  /// `clock` must outlive the guard.
  FrameGuard(const GuardSetup& setup, const Clock& clock);
  FrameGuard(const FrameGuard&) = delete;
  FrameGuard& operator=(const FrameGuard&) = delete;

  /// Validates one frame, and may change it (see the theory of operation).
  GuardVerdict inspect(MutableBytes frame);
  /// Replaces the allowed source addresses. Until the first call every address of the plan's networks is allowed.
  void set_sources(const std::vector<Address>& addresses) { sources_.set(addresses); }
  /// Drops datagrams that are incomplete after limits::reassembly_time. inspect() does so too with each new fragment.
  void expire();
  /// Counts a drop that was decided after the guard.
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
