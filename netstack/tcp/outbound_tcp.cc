// SPDX-License-Identifier: BSD-3-Clause
// Longer than most: what a SYN can become, and when the stand-ins are trusted, share the table of dials.
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
    : setup_(std::move(setup)), proofs_{proof_address(setup_.plan, Family::v4), proof_address(setup_.plan, Family::v6)} {}

OutboundTcp::~OutboundTcp() {
  setup_.stand_ins->drop_check();
  setup_.on_change = nullptr;
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
  const auto& proof = proofs_[segment.destination.is_v4() ? 0 : 1];
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
  if (!setup_.stand_ins->answers_dials(family)) return &counters_.not_ready;
  if (trust(family).lost) return &counters_.untrusted;
  if (is_general(syn)) return &counters_.repeated;
  if (asks_for_more(syn)) return &counters_.options;
  if (syn.source.is_link_local() || syn.destination.is_link_local()) return &counters_.link_local;
  return nullptr;
}

bool OutboundTcp::to_general(const Packet& syn, std::uint64_t& counter) {
  ++counter;
  if (!setup_.required) {
    remember_general({syn.from(), syn.to()}, sequence_of(syn));
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
  const Ends ends{relay.start().guest, relay.start().guest_peer};
  const std::uint32_t isn = relay.start().guest_isn;
  relay.fail(flow_end_of(stand_in.error()));
  if (setup_.required || !setup_.general) return tell_guest(std::move(dial.syn), ECONNREFUSED);
  remember_general(ends, isn);
  setup_.general(dial.syn);
}

void OutboundTcp::flow_open(Relay& relay) {
  ++counters_.opened;
  Trust& of = trust(relay.start().guest.address.family());
  if (of.breaks != 0 && ++of.opened >= limits::outbound_trusted) of.breaks = 0;
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
    return remember_general({relay.start().guest, relay.start().guest_peer}, relay.start().guest_isn);
  }
  ++counters_.broken;
  distrust(family);
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
  return std::min(check_at_, deadlines_.empty() ? Instant::max() : deadlines_.begin()->first);
}

void OutboundTcp::expire() {
  const Instant now = setup_.clock->now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) expire(dials_.find(deadlines_.begin()->second));
  if (check_at_ <= now) check();
}

void OutboundTcp::expire(Dials::iterator at) {
  if (at->second.late) return end_late(at);
  if (at->second.opening) {
    ++counters_.broken;
    at->second.late = true;
    set_due(at->first, at->second, setup_.clock->now() + limits::outbound_late);
    return distrust(at->first->start().guest.address.family());
  }
  ++counters_.given_up;
  Relay& relay = *at->first;
  forget(at);
  relay.fail(FlowEnd::reset_by_guest);
}

// ---- trust in the steering ----

void OutboundTcp::to_general_late(Dials::iterator at) {
  Relay& relay = *at->first;
  if (relay.ticket() != 0) setup_.stand_ins->cancel(relay.ticket());
  forget(at);
  relay.fail(FlowEnd::failed);
}

void OutboundTcp::end_late(Dials::iterator at) {
  std::vector<std::uint8_t> answer = std::move(at->second.answer);
  remember_general({at->first->start().guest, at->first->start().guest_peer}, at->first->start().guest_isn);
  to_general_late(at);
  if (!answer.empty()) tell_guest(std::move(answer), ECONNRESET);
}

void OutboundTcp::remember_general(const Ends& ends, std::uint32_t isn) {
  const Instant now = setup_.clock->now();
  const auto [at, is_new] =
      general_.insert_or_assign(ends, GeneralSyn{.isn = isn, .until = now + limits::outbound_general_syn});
  if (!is_new) return;
  general_order_.push_back(ends);
  while (general_order_.size() > limits::outbound_general_syns || general_.at(general_order_.front()).until <= now) {
    general_.erase(general_order_.front());
    general_order_.pop_front();
  }
}

bool OutboundTcp::is_general(const Packet& syn) {
  if (general_.empty()) return false;
  const auto found = general_.find({syn.from(), syn.to()});
  return found != general_.end() && found->second.isn == sequence_of(syn) && found->second.until > setup_.clock->now();
}

void OutboundTcp::distrust(Family family) {
  Trust& of = trust(family);
  of.opened = 0;
  if (std::exchange(of.lost, true)) return;
  ++of.breaks;
  const unsigned doublings = std::min(of.breaks, 16u);
  const Duration hold = of.breaks == 1
                            ? Duration(0)
                            : std::min<Duration>(limits::outbound_hold_most, limits::outbound_hold * (1u << doublings) / 4);
  of.held_until = setup_.clock->now() + hold;
  check();
  if (setup_.on_change) setup_.on_change();
}

void OutboundTcp::check() {
  const Instant now = setup_.clock->now();
  if (std::exchange(checking_, true) && now < check_at_) return;
  // An agent that has too much to do to be asked gives no answer: it is asked again.
  check_at_ = now + limits::outbound_hold_most;
  setup_.stand_ins->check([this] { checked(); });
}

void OutboundTcp::checked() {
  checking_ = false;
  const Instant now = setup_.clock->now();
  bool changed = false, waits = false, failing = false;
  Instant next = now + limits::outbound_hold;
  for (const Family family : {Family::v4, Family::v6}) {
    Trust& of = trust(family);
    if (!of.lost) continue;
    if (setup_.stand_ins->answers_dials(family) && of.held_until <= now) {
      of.lost = false;
      changed = true;
      continue;
    }
    waits = true;
    failing = failing || !setup_.stand_ins->answers_dials(family);
    next = std::max(next, of.held_until);
  }
  // A proof that fails takes the agent its time.
  if (failing)
    next =
        std::max(next, now + std::min<Duration>(limits::outbound_hold_most, limits::outbound_hold * (1u << failed_checks_)));
  failed_checks_ = failing ? std::min(failed_checks_ + 1, 16u) : 0;
  check_at_ = waits ? next : Instant::max();
  if (changed && setup_.on_change) setup_.on_change();
}

OutboundTcp::Path OutboundTcp::path() const {
  const auto takes = [this](Family family) { return setup_.stand_ins->answers_dials(family) && !trust(family).lost; };
  Path path{.v4 = takes(Family::v4), .v6 = takes(Family::v6)};
  if (setup_.stand_ins->state() == StandIns::State::preparing) {
    path.reason = "the guest is being prepared";
    return path;
  }
  path.reason =
      setup_.stand_ins->state() == StandIns::State::off ? setup_.stand_ins->reason() : setup_.stand_ins->dials_reason();
  for (const Family family : {Family::v4, Family::v6})
    if (trust(family).lost)
      path.reason += (path.reason.empty() ? "" : "; ") + std::string(family == Family::v4 ? "IPv4" : "IPv6") +
                     ": a stand-in did not reach the guest";
  return path;
}

}  // namespace nh
