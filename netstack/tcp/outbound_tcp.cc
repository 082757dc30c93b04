// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/tcp/outbound_tcp.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "netstack/frame/builder.h"
#include "netstack/frame/wire.h"
#include "netstack/relay/stream_socket.h"
#include "src/base/limits.h"

namespace nh {
namespace {

constexpr std::uint16_t proof_port = 20040;

std::uint32_t sequence_of(const Packet& segment) {
  return wire::load32(segment.l4(), 4);
}

/// Options that both ends have to speak (RFC 8684 3.1, RFC 2385, RFC 5925).
bool asks_for_more(const Packet& syn) {
  constexpr std::uint8_t end = 0, nothing = 1, md5 = 19, ao = 29, mptcp = 30;
  const Bytes options =
      Bytes(syn.frame).subspan(syn.l4_offset + tcp_header, syn.payload_offset - syn.l4_offset - tcp_header);
  for (std::size_t at = 0; at < options.size();) {
    const std::uint8_t kind = options[at];
    if (kind == end) return false;
    if (kind == md5 || kind == ao || kind == mptcp) return true;
    if (kind == nothing) {
      ++at;
      continue;
    }
    if (at + 1 >= options.size() || options[at + 1] < 2) return false;
    at += options[at + 1];
  }
  return false;
}

/// The error message that the guest's kernel makes this errno of; for errnos that none is made into, the nearest (icmp.c
/// icmp_err_convert, icmpv6.c tab_unreach).
Unreachable message_of(int error) {
  switch (error) {
    case ENETUNREACH:
      return Unreachable::net;
    case EACCES:
    case EPERM:
      return Unreachable::prohibited;
    case ENOPROTOOPT:
      return Unreachable::protocol;
    case EOPNOTSUPP:
      return Unreachable::source_route;
    case EHOSTDOWN:
      return Unreachable::host_unknown;
    case ENONET:
      return Unreachable::host_isolated;
    default:
      return Unreachable::host;
  }
}

}  // namespace

OutboundTcp::OutboundTcp(OutboundTcpSetup setup)
    : setup_(std::move(setup)),
      proofs_{proof_address(setup_.plan, Family::v4), proof_address(setup_.plan, Family::v6)},
      general_(*setup_.clock),
      trust_(*setup_.clock, *setup_.stand_ins, *setup_.path) {}

OutboundTcp::~OutboundTcp() {
  while (!dials_.empty()) {
    Relay* const relay = dials_.begin()->first;
    if (relay->ticket() != 0) setup_.stand_ins->cancel(relay->ticket());
    forget(dials_.begin());
    relay->fail(FlowEnd::killed);
  }
}

std::optional<Endpoint> OutboundTcp::proof_address(const AddressPlan& plan, Family family) {
  const AddressPlan::Net* net = plan.net(family);
  if (net == nullptr) return std::nullopt;
  return Endpoint{net->dns, proof_port};
}

bool OutboundTcp::is_proof(const Packet& segment) const {
  if (segment.destination_port != proof_port) return false;
  const auto& proof = proofs_.of(segment.destination.family());
  return proof && segment.destination == proof->address;
}

// ---- the guest's segments ----

bool OutboundTcp::take(const Packet& syn, Reach reach) {
  if (Relay* const old = setup_.relays->find(syn.from(), syn.to())) {
    const auto at = dials_.find(old);
    if (old->start().dialled_by_guest && old->start().guest_isn == sequence_of(syn)) {
      ++counters_.retransmits;
      if (at == dials_.end()) return true;
      Dial& dial = at->second;
      if (dial.late) {
        to_general_late(at);
        return to_general(syn, counters_.untrusted);
      }
      if (dial.opening) return true;
      const Instant now = setup_.clock->now();
      const Duration apart = now - std::exchange(dial.last_syn, now);
      set_due(old, dial, now + std::max<Duration>(limits::outbound_syn_again, 2 * apart) + limits::outbound_syn_margin);
      return true;
    }
    if (setup_.relays->challenge(*old)) {
      ++counters_.challenged;
      return true;
    }
    ++counters_.superseded;
    if (at != dials_.end()) forget(at);
    setup_.relays->supersede(*old);
  }
  if (std::uint64_t* const reason = general_reason(syn)) return to_general(syn, *reason);
  return dial(syn, reach);
}

void OutboundTcp::take_early(const Packet& segment, Relay& relay) {
  const auto at = dials_.find(&relay);
  if (at == dials_.end() || (segment.tcp_flags & tcp_flag::rst) == 0) return;
  ++counters_.given_up;
  forget(at);
  relay.fail(FlowEnd::reset_by_guest);
}

void OutboundTcp::see_stray(const Packet& segment, Relay& relay) {
  const auto at = dials_.find(&relay);
  constexpr std::uint8_t syn_ack = tcp_flag::syn | tcp_flag::ack;
  if (at == dials_.end() || (segment.tcp_flags & syn_ack) != syn_ack) return;
  at->second.answer.assign(segment.frame.begin(), segment.frame.end());
}

std::uint64_t* OutboundTcp::general_reason(const Packet& syn) {
  const Family family = syn.source.family();
  if (!setup_.path->now().answers_dials(family)) return &counters_.not_ready;
  if (setup_.path->now().unreached.of(family)) return &counters_.untrusted;
  if (general_.has(syn.from(), syn.to(), sequence_of(syn))) return &counters_.repeated;
  if (asks_for_more(syn)) return &counters_.options;
  if (syn.source.is_link_local() || syn.destination.is_link_local()) return &counters_.link_local;
  return nullptr;
}

bool OutboundTcp::to_general(const Packet& syn, std::uint64_t& counter) {
  ++counter;
  if (!setup_.required) {
    general_.add(syn.from(), syn.to(), sequence_of(syn));
    return false;
  }
  tell_guest(syn, ECONNREFUSED);
  return true;
}

bool OutboundTcp::dial(const Packet& syn, Reach reach) {
  RelaySet& relays = *setup_.relays;
  if (!relays.reserve()) return to_general(syn, counters_.no_descriptor);
  Endpoint to = syn.to();
  if (reach == Reach::host_loopback) to.address = Address::loopback(to.address.family());
  const bool dns = reach == Reach::dns;
  auto socket = dns ? Result<UniqueFd>(setup_.dial_dns ? setup_.dial_dns() : UniqueFd()) : host_socket(to);
  if (!socket || !*socket) {
    relays.unreserve();
    tell_guest(syn, socket ? ECONNREFUSED : socket.error().sys_errno);
    return true;
  }
  ++counters_.dialled;
  Relay* const relay = relays.begin({.direction = FlowDirection::out,
                                     .host_peer = dns ? Endpoint{} : to,
                                     .guest_peer = syn.to(),
                                     .guest = syn.from(),
                                     .dialled_by_guest = true,
                                     .guest_isn = sequence_of(syn)},
                                    Relay::host, std::move(*socket), this, Relay::First::dialling);
  if (relay == nullptr) {
    tell_guest(syn, ENOBUFS);
    return true;
  }
  const Instant now = setup_.clock->now();
  Dial& dial = dials_[relay];
  dial.syn.assign(syn.frame.begin(), syn.frame.end());
  dial.last_syn = now;
  set_due(relay, dial, now + limits::outbound_syn_again + limits::outbound_syn_margin);
  return true;
}

Result<UniqueFd> OutboundTcp::host_socket(const Endpoint& to) const {
  const bool v4 = to.address.is_v4();
  UniqueFd fd(socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return sys_error("opening a socket for the guest");
  prepare_stream(fd.get());
  const auto& source = v4 ? setup_.source_v4 : setup_.source_v6;
  if (source && !to.address.is_loopback()) {
    const int on = 1;
    setsockopt(fd.get(), SOL_IP, IP_BIND_ADDRESS_NO_PORT, &on,
               sizeof on);  // else fewer connections are possible, nothing worse
    const SockAddr from({.address = *source, .port = 0});
    if (bind(fd.get(), from.get(), from.length) != 0) return sys_error("binding to " + source->text());
  }
  const SockAddr name(to);
  if (connect(fd.get(), name.get(), name.length) != 0 && errno != EINPROGRESS)
    return sys_error("connecting to " + to.text());
  return fd;
}

// ---- what becomes of them ----

void OutboundTcp::flow_dialled(Relay& relay) {
  const auto at = dials_.find(&relay);
  NH_BUG_IF(at == dials_.end());
  Dial& dial = at->second;
  dial.opening = true;
  // While the agent is asked it may be busy; the next copy of the SYN is not to find this one still waiting.
  const Instant now = setup_.clock->now();
  set_due(&relay, dial,
          std::max<Instant>(now + limits::outbound_open,
                            dial.last_syn + limits::outbound_syn_again - limits::outbound_syn_margin));
  auto opening = setup_.stand_ins->open(relay.start().guest_peer, relay.start().guest, StandIns::Port::must_be_kept,
                                        [this, &relay](Result<UniqueFd> made) { answered(relay, std::move(made)); });
  if (opening.result) return answered(relay, std::move(*opening.result));
  relay.set_ticket(opening.ticket);
}

void OutboundTcp::answered(Relay& relay, Result<UniqueFd> stand_in) {
  if (stand_in) {
    // From now on it is the guest's turn.
    const auto at = dials_.find(&relay);
    if (at != dials_.end() && !at->second.late) set_due(&relay, at->second, setup_.clock->now() + limits::outbound_open);
    return relay.join(std::move(*stand_in));
  }
  ++counters_.no_stand_in;
  Dial dial = forget(dials_.find(&relay));
  const bool general = !setup_.required && setup_.general;
  if (general) remember_general(relay);
  relay.fail(flow_end_of(stand_in.error()));
  if (!general) return tell_guest(std::move(dial.syn), ECONNREFUSED);
  setup_.general(dial.syn);
}

void OutboundTcp::flow_open(Relay& relay) {
  ++counters_.opened;
  trust_.reached(relay.start().guest.address.family());
  if (const auto at = dials_.find(&relay); at != dials_.end()) forget(at);
}

void OutboundTcp::flow_failed(Relay& relay, Relay::Side side, int error) {
  if (relay.ticket() != 0) setup_.stand_ins->cancel(relay.ticket());
  const auto at = dials_.find(&relay);
  if (at == dials_.end()) return;
  const Family family = relay.start().guest.address.family();
  Dial dial = forget(at);
  if (side == Relay::host || error == 0) return tell_guest(std::move(dial.syn), error == 0 ? ECONNREFUSED : error);
  // Its reset is how a guest that has given up answers the stand-in, or its firewall: then a copy of the SYN comes.
  if (error == ECONNREFUSED || error == ECONNRESET) {
    ++counters_.given_up;
    return remember_general(relay);
  }
  ++counters_.broken;
  trust_.not_reached(family);
}

void OutboundTcp::tell_guest(const Packet& syn, int error) {
  if (error == ETIMEDOUT) {
    ++counters_.timed_out;
  } else if (error == ECONNREFUSED || error == ECONNRESET) {
    ++counters_.refused;
    send_tcp_reset(*setup_.sink, syn);
  } else {
    ++counters_.unreachable;
    send_unreachable(*setup_.sink, syn, setup_.plan.net(syn.source.family())->gateway, message_of(error));
  }
}

void OutboundTcp::tell_guest(std::vector<std::uint8_t> syn, int error) {
  const ParsedFrame parsed = parse_packet(syn);
  NH_BUG_IF(parsed.malformed.has_value());
  tell_guest(parsed.packet, error);
}

void OutboundTcp::set_due(Relay* relay, Dial& dial, Instant due) {
  if (dial.due != Instant{}) deadlines_.erase({dial.due, relay});
  dial.due = due;
  deadlines_.emplace(due, relay);
}

OutboundTcp::Dial OutboundTcp::forget(Dials::iterator at) {
  deadlines_.erase({at->second.due, at->first});
  Dial dial = std::move(at->second);
  dials_.erase(at);
  return dial;
}

// ---- time ----

Instant OutboundTcp::next_deadline() const {
  return std::min(trust_.next_deadline(), deadlines_.empty() ? Instant::max() : deadlines_.begin()->first);
}

void OutboundTcp::expire() {
  const Instant now = setup_.clock->now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) expire(dials_.find(deadlines_.begin()->second));
  trust_.expire();
}

void OutboundTcp::expire(Dials::iterator at) {
  if (at->second.late) return end_late(at);
  if (at->second.opening) {
    ++counters_.broken;
    at->second.late = true;
    set_due(at->first, at->second, setup_.clock->now() + limits::outbound_late);
    return trust_.not_reached(at->first->start().guest.address.family());
  }
  ++counters_.given_up;
  Relay& relay = *at->first;
  forget(at);
  relay.fail(FlowEnd::reset_by_guest);
}

void OutboundTcp::to_general_late(Dials::iterator at) {
  Relay& relay = *at->first;
  if (relay.ticket() != 0) setup_.stand_ins->cancel(relay.ticket());
  forget(at);
  relay.fail(FlowEnd::failed);
}

void OutboundTcp::end_late(Dials::iterator at) {
  std::vector<std::uint8_t> answer = std::move(at->second.answer);
  remember_general(*at->first);
  to_general_late(at);
  if (!answer.empty()) tell_guest(std::move(answer), ECONNRESET);
}

void OutboundTcp::remember_general(const Relay& relay) {
  general_.add(relay.start().guest, relay.start().guest_peer, relay.start().guest_isn);
}

}  // namespace nh
