// SPDX-License-Identifier: BSD-3-Clause
// DnsRedirect: leads the guest's TCP flows to the DNS address, port 53, through libslirp to our own DNS forwarder.
//
// The forwarder listens on a loopback port of the host (netstack/dns). A segment to DNS:53 is given libslirp with that
// loopback address as its destination, a segment from there gets the DNS address back: a stateless 1:1 translation. Only
// frames that Reachability has judged to be DNS are translated, and the forwarder serves only sockets of our own libslirp.
#pragma once

#include <optional>

#include "netstack/frame/packet.h"
#include "netstack/plan/address_plan.h"

namespace nh {

class DnsRedirect {
 public:
  /// A listener that is missing (no IPv6 on the host) leaves its family untranslated: connections are then refused.
  DnsRedirect(const AddressPlan& plan, std::optional<Endpoint> listener4, std::optional<Endpoint> listener6);

  /// Rewrites the destination of a TCP segment to the DNS address. False: there is no listener of its family.
  bool to_listener(const Packet& segment) const;
  /// Rewrites the source of a frame from libslirp if it comes from a listener.
  void from_listener(MutableBytes frame) const;
  /// True if `frame` is a TCP frame that from_listener would rewrite: the caller then works on a copy.
  bool is_from_listener(Bytes frame) const;

 private:
  struct Pair {
    Endpoint dns, listener;
  };
  const Pair* pair_of(Bytes frame) const;

  std::optional<Pair> v4_, v6_;
};

}  // namespace nh
