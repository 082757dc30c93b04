// SPDX-License-Identifier: BSD-3-Clause
// DnsForwarder: answers the guest's DNS queries at the plan's DNS addresses, by asking the host's
// resolvers.
//
// Theory of operation. A UDP query arrives as a packet; a TCP connection through libslirp at a listener of ours on the host's
// loopback, which serves libslirp's sockets only, or as a relay (tcp_client()). Both end up as queries in one QueryTable
// (query_table.h), which asks the resolvers of a ResolverList (resolver_list.h) in turn until one gives a good answer. Queries and
// answers are passed on as they are, whatever is in them, but for the id. UDP answers are sent as frames, fragmented if larger
// than the MTU. One that is larger than the query allows is truncated; the guest asks again over TCP, as it does when a resolver
// has truncated.
//
// Ownership: owns its sockets; what DnsSetup points to must outlive it. Never blocks: a silent resolver or client delays only
// its own query. What is no query of the guest, or no answer of a resolver, is counted.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "netstack/dns/query_table.h"
#include "netstack/dns/resolver_list.h"
#include "netstack/dns/tcp_server.h"
#include "netstack/frame/frame_sink.h"
#include "netstack/frame/packet.h"
#include "netstack/plan/address_plan.h"
#include "src/base/clock.h"
#include "src/loop/epoll_set.h"

namespace nh {

struct DnsSetup {
  EpollSet* epoll;
  const Clock* clock;
  FrameSink* sink;
  AddressPlan plan;
  std::vector<Address> fixed = {};  ///< the resolvers of --dns; empty: those of resolv_conf
  std::string resolv_conf = "/etc/resolv.conf";
  std::optional<Address> outbound4 = {}, outbound6 = {};  ///< source addresses towards resolvers that are not on loopback
  std::function<bool(const Endpoint& peer)> is_own_flow =
      {};                            ///< is this TCP peer a socket of our libslirp? empty: nobody is
  std::uint16_t resolver_port = 53;  ///< another one in tests only
};

class DnsForwarder {
 public:
  /// Opens the TCP listeners. Errors: exhausted (fds). A host without IPv6 has no [::1] listener;
  /// that is no error.
  static Result<std::unique_ptr<DnsForwarder>> create(const DnsSetup& setup);
  DnsForwarder(const DnsForwarder&) = delete;
  DnsForwarder& operator=(const DnsForwarder&) = delete;

  /// A UDP packet of the guest to a DNS address, port 53.
  void take_udp(const Packet& packet);
  /// The listener for the guest's TCP flows to DNS port 53; nullopt: there is none of that family.
  std::optional<Endpoint> tcp_listener(Family family) const;

  /// For a connection of the guest to DNS port 53 that is a relay: a socket for the relay's host side. Empty: out of fds.
  UniqueFd tcp_client();

  /// When expire() is to be called next; Instant::max(): not at all.
  Instant next_deadline() const;
  /// Asks further resolvers, fails queries, closes idle TCP clients, each at its deadline.
  void expire();

  struct Counters {
    std::uint64_t udp_queries = 0, tcp_queries = 0;  ///< taken from the guest
    std::uint64_t answered = 0;                      ///< with a resolver's good answer
    std::uint64_t failed = 0;                        ///< with SERVFAIL, or with a resolver's own refusal
    std::uint64_t under_way = 0;                     ///< now
    std::uint64_t duplicates = 0;                    ///< repeated queries that were pending already
    std::uint64_t malformed = 0;                     ///< messages of the guest that are no query: dropped
    std::uint64_t dropped_full = 0;                  ///< queries beyond limits::dns_queries or dns_query_bytes
    std::uint64_t resolver_failures = 0;             ///< a resolver was silent, refused or answered SERVFAIL
    std::uint64_t answers_ignored = 0;               ///< answers that do not fit the query (wrong id or question)
    std::uint64_t tcp_clients = 0;                   ///< now
    std::uint64_t tcp_refused = 0;                   ///< connections closed at once: not libslirp's, or too many
  };
  Counters counters() const;
  /// The present resolvers, in the order in which they are asked.
  std::vector<NameServer> resolvers() { return resolvers_.order(); }

 private:
  // A query with the same key as a pending one is a repetition.
  struct UdpKey {
    Endpoint guest, dns;
    std::uint64_t message = 0;  ///< keyed hash of its bytes: one socket may ask two questions with one id
    friend bool operator==(const UdpKey&, const UdpKey&) = default;
    friend void hash_append(SipHash13& hash, const UdpKey& key) {
      hash_append(hash, key.guest);
      hash_append(hash, key.dns);
      hash_append(hash, key.message);
    }
  };
  explicit DnsForwarder(const DnsSetup& setup);
  void reply(const UdpKey& key, const MacAddress& mac, Bytes answer, std::size_t limit);

  DnsSetup setup_;
  ResolverList resolvers_;
  QueryTable queries_;
  DnsTcpServer tcp_;  // after queries_: its clients cancel theirs when they go
  std::unordered_set<UdpKey, KeyedHash> udp_;
  Counters counted_;
};

}  // namespace nh
