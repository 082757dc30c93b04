// SPDX-License-Identifier: BSD-3-Clause
// DnsRedirect: address translation that leads the guest's TCP connections to the DNS address, port 53, to our DNS forwarder.
//
// The forwarder listens on a loopback port of the host (netstack/dns). The destination of a segment to DNS:53 is replaced by
// that listener before libslirp sees it, and the source of a segment from there by DNS:53: stateless and 1:1. Only frames that
// Reachability has judged to be DNS are translated, and the forwarder serves only sockets of our libslirp.
#pragma once

#include <optional>

#include "netstack/frame/packet.h"
#include "netstack/plan/address_plan.h"

namespace nh {

class DnsRedirect {
 public:
  /// nullopt: there is no listener of that family (no IPv6 on the host); its connections are refused.
  DnsRedirect(const AddressPlan& plan, std::optional<Endpoint> listener4, std::optional<Endpoint> listener6);

  /// Translates the destination of a TCP segment to the DNS address. False: there is no listener of its family.
  bool to_listener(const Packet& segment) const;
  /// Translates the source of a frame from libslirp if it comes from a listener.
  void from_listener(MutableBytes frame) const;
  /// True if from_listener() would change `frame`: the caller then calls it on a copy.
  bool is_from_listener(Bytes frame) const;

 private:
  struct Pair {
    Endpoint dns, listener;
  };
  const Pair* pair_of(Bytes frame) const;

  std::optional<Pair> v4_, v6_;
};

}  // namespace nh
