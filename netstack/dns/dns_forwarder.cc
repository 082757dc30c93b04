// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/dns/dns_forwarder.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "netstack/dns/message.h"
#include "netstack/frame/builder.h"
#include "src/base/hash.h"
#include "src/base/limits.h"

namespace nh {
namespace {

// Nobody who does not know the process's key can make two messages that have the same.
std::uint64_t keyed_hash(Bytes message) {
  SipHash13 hash(process_hash_key);
  hash.add(message.size());
  while (!message.empty()) {
    std::uint64_t word = 0;
    const std::size_t size = std::min(message.size(), sizeof word);
    std::memcpy(&word, message.data(), size);
    hash.add(word);
    message = message.subspan(size);
  }
  return hash.finish();
}

}  // namespace

DnsForwarder::DnsForwarder(const DnsSetup& setup)
    : setup_(setup),
      resolvers_(*setup.clock, setup.fixed, setup.resolv_conf),
      queries_({setup.epoll, setup.clock, &resolvers_, setup.resolver_port, setup.outbound4, setup.outbound6}),
      tcp_({setup.epoll, setup.clock, &queries_, setup.is_own_flow}) {}

Result<std::unique_ptr<DnsForwarder>> DnsForwarder::create(const DnsSetup& setup) {
  std::unique_ptr<DnsForwarder> forwarder(new DnsForwarder(setup));
  NH_TRY(forwarder->tcp_.open());
  return forwarder;
}

void DnsForwarder::take_udp(const Packet& packet) {
  const Bytes query = packet.payload();
  // A response is not answered, else two servers could loop.
  if (!packet.is_udp() || !dns::is_query(query)) {
    ++counted_.malformed;
    return;
  }
  const UdpKey key{packet.from(), packet.to(), keyed_hash(query)};
  ++counted_.udp_queries;
  if (udp_.contains(key)) {
    ++counted_.duplicates;
    return;
  }
  const auto number = queries_.ask(
      Via::udp, query,
      [this, key, mac = packet.mac_source, limit = dns::udp_answer_limit(query)](std::uint64_t, Bytes answer, bool good) {
        udp_.erase(key);
        ++(good ? counted_.answered : counted_.failed);
        reply(key, mac, answer, limit);
      });
  if (number)
    udp_.insert(key);
  else
    ++counted_.dropped_full;
}

void DnsForwarder::reply(const UdpKey& key, const MacAddress& mac, Bytes answer, std::size_t limit) {
  const std::size_t most = std::min<std::size_t>(limit, limits::datagram);
  std::vector<std::uint8_t> shortened;
  if (answer.size() > most) answer = shortened = dns::truncated(answer, most);
  send_udp(*setup_.sink, {AddressPlan::gateway_mac(key.dns.address), mac}, key.dns, key.guest, answer, setup_.plan.mtu);
}

UniqueFd DnsForwarder::tcp_client() {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0) return {};
  UniqueFd guest(ends[0]);
  tcp_.serve(UniqueFd(ends[1]));
  return guest;
}

std::optional<Endpoint> DnsForwarder::tcp_listener(Family family) const {
  return tcp_.listener(family);
}

Instant DnsForwarder::next_deadline() const {
  return std::min(queries_.next_deadline(), tcp_.next_deadline());
}

void DnsForwarder::expire() {
  queries_.expire();
  tcp_.expire();
}

DnsForwarder::Counters DnsForwarder::counters() const {
  Counters all = counted_;
  const DnsTcpCounters& tcp = tcp_.counters();
  all.tcp_queries = tcp.queries;
  all.answered += tcp.answered;
  all.failed += tcp.failed;
  all.malformed += tcp.malformed;
  all.dropped_full += tcp.dropped_full;
  all.under_way = queries_.under_way();
  all.resolver_failures = queries_.resolver_failures();
  all.answers_ignored = queries_.answers_ignored();
  all.tcp_clients = tcp_.clients();
  all.tcp_refused = tcp_.refused();
  return all;
}

}  // namespace nh
