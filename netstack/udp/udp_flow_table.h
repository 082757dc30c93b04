// SPDX-License-Identifier: BSD-3-Clause
// The flows of UDP forwards: which client of which listener appears with which address towards which
// guest endpoint. Found from both sides in constant time; the oldest is at the front of its list,
// so that expiry costs O(expired). A flow costs some 350 bytes (measured with 10,000).
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <unordered_map>

#include "netstack/udp/udp_stand_in.h"
#include "src/base/address.h"
#include "src/base/clock.h"

namespace nh {

/// What the host side sees of a flow. The local address counts: a client may use several of a
/// wildcard socket's.
struct UdpClient {
  std::uint64_t listener = 0;
  Endpoint remote;
  Address local;            ///< the host address that the client had used
  std::uint32_t scope = 0;  ///< interface of a link-local remote
  friend bool operator==(const UdpClient&, const UdpClient&) = default;
  friend void hash_append(SipHash13& hash, const UdpClient& client) {
    hash_append(hash, client.listener);
    hash_append(hash, client.remote);
    hash_append(hash, client.local);
    hash_append(hash, client.scope);
  }
};

/// What the guest sees of it.
struct UdpPair {
  Endpoint guest, guest_peer;
  friend bool operator==(const UdpPair&, const UdpPair&) = default;
  friend void hash_append(SipHash13& hash, const UdpPair& pair) {
    hash_append(hash, pair.guest);
    hash_append(hash, pair.guest_peer);
  }
};

struct UdpFlow {
  UdpClient client;
  UdpPair pair;
  std::uint64_t id = 0;
  std::unique_ptr<UdpStandIn> stand_in;  ///< null: its datagrams are frames on the TAP
  bool answered = false;
  Instant opened{}, last_used{};
  std::uint64_t bytes_to_guest = 0, bytes_to_host = 0;
  std::list<UdpFlow>::iterator place{};  ///< the table's own
};

class UdpFlowTable {
 public:
  explicit UdpFlowTable(std::size_t max_flows) : max_flows_(max_flows) {}

  UdpFlow* find(const UdpClient& client);
  UdpFlow* find(const UdpPair& pair);
  /// A new flow; `pair.guest_peer.port` is replaced if the pair is taken. nullptr: the table is full.
  UdpFlow* open(const UdpClient& client, UdpPair pair, Instant now);
  /// A datagram went by; an answer makes it an answered flow, which may be idle for longer.
  void used(UdpFlow& flow, Instant now, bool answer);
  void forget(UdpFlow& flow);
  /// Calls `what` with each flow, in no order; it may forget that one.
  template <class What>
  void for_each(What what) {
    for (std::list<UdpFlow>* flows : {&unanswered_, &answered_})
      for (auto at = flows->begin(); at != flows->end();) what(*at++);
  }
  /// A flow that has been idle too long, or nullptr.
  UdpFlow* idle(Instant now);
  Instant next_deadline() const;
  std::size_t size() const { return by_pair_.size(); }

 private:
  bool find_free_port(UdpPair& pair);

  std::size_t max_flows_;
  std::list<UdpFlow> unanswered_, answered_;  // by last_used, the oldest first
  std::unordered_map<UdpClient, UdpFlow*, KeyedHash> by_client_;
  std::unordered_map<UdpPair, UdpFlow*, KeyedHash> by_pair_;
  std::uint16_t next_port_ = 49152;  // RFC 6335 6: the dynamic ports begin here
};

}  // namespace nh
