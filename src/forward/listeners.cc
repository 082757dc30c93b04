// SPDX-License-Identifier: BSD-3-Clause
#include "src/forward/listeners.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "netstack/relay/bind_error.h"
#include "netstack/relay/listener.h"

namespace nh {
namespace {

using Side = ListenerPlan::Side;

Error unsupported(std::string field, std::string what) {
  return Error{.code = Code::unsupported, .what = std::move(what), .field = std::move(field)};
}

}  // namespace

bool Listeners::relays_work() const {
  return setup_.path->now().phase != KernelPathState::Phase::off;
}

bool Listeners::relays_carry(const Open& open) const {
  if (!relays_work()) return false;
  // What libslirp cannot do is left to them.
  const KernelPathState& now = setup_.path->now();
  if (now.phase == KernelPathState::Phase::preparing || open.plan.side != Side::host || !open.plan.interface.empty() ||
      open.plan.destination.is_loopback())
    return true;
  const Destination& destination = open.plan.destination;
  // [::] has clients of both families; those whose own is not served are led to the other (TcpForward).
  if (open.bound.address == Address::any(Family::v6))
    return (destination.v4 && now.takes_forwards(Family::v4)) || (destination.v6 && now.takes_forwards(Family::v6));
  const Family family = open.bound.address.family();
  return destination.endpoint(family).address.family() != family || now.takes_forwards(family);
}

bool Listeners::has_v4_half(const Open& open) const {
  const Endpoint v4_half{Address::any(Family::v4), open.bound.port};
  return std::any_of(open_.begin(), open_.end(), [&](const auto& one) {
    const Open& other = one.second;
    return &other != &open && other.plan.side == Side::host && other.plan.transport == open.plan.transport &&
           other.bound == v4_half && other.carrier != Carrier::none;
  });
}

std::string Listeners::why_no_relays() const {
  return setup_.path->now().forwards_reason();
}

Result<std::uint64_t> Listeners::open(std::uint64_t rule, const ListenerPlan& plan, std::uint16_t port) {
  const bool reverse = plan.side == Side::guest;
  if (open_.size() >= setup_.most)
    return Error{.code = Code::exhausted,
                 .what = "there are " + std::to_string(setup_.most) + " listeners of forwards already; remove a rule first",
                 .field = reverse ? "guest_port" : "host_port"};
  const std::uint64_t number = last_number_ + 1;
  Open& made = open_.try_emplace(number, Open{.plan = plan, .rule = rule}).first->second;
  last_number_ = number;
  made.bound = {plan.at.address, port != 0 ? port : plan.at.port};
  if (auto carried = carry(number, made); !carried) {
    open_.erase(number);
    return std::move(carried).error();
  }
  return number;
}

Result<> Listeners::carry(std::uint64_t number, Open& open) {
  open.reason.clear();
  NH_TRY(check_loopback(open.plan.destination));
  if (open.plan.destination.is_loopback() && setup_.loopback_wanted) setup_.loopback_wanted();
  if (open.plan.side == Side::guest) return ask_guest(number, open);
  if (open.plan.transport == Transport::udp) return carry_datagrams(number, open);
  return relays_carry(open) ? carry_by_relays(number, open) : carry_by_general(open);
}

Result<> Listeners::check_loopback(const Destination& destination) const {
  if (!destination.is_loopback() || relays_work()) return Ok{};
  return unsupported("guest_addr", "the guest's loopback is reached by relays only: " + why_no_relays());
}

Result<> Listeners::carry_datagrams(std::uint64_t number, Open& open) {
  NH_LET(bound, setup_.datagrams->add(number, open.rule, open.bound, open.plan.interface, open.plan.destination));
  open.bound = bound;
  open.carrier = Carrier::datagrams;
  return Ok{};
}

Result<> Listeners::carry_by_relays(std::uint64_t number, Open& open) {
  NH_LET(socket, relay_socket(open));
  if (auto added = setup_.relays->add(number, open.rule, std::move(socket), open.plan.destination); !added) {
    open.file.reset();
    return added;
  }
  open.carrier = Carrier::relays;
  return Ok{};
}

Result<UniqueFd> Listeners::relay_socket(Open& open) {
  if (open.plan.side == Side::host_inherited) {
    NH_LET(copy, copy_of_listener(setup_.inherited, open.plan.name));
    open.bound = bound_endpoint(copy.get());
    return copy;
  }
  if (open.plan.side == Side::host) return host_socket(open);
  if (!open.file) {
    if (confined_)
      return unsupported("host_unix", "a helper with --sandbox or --seccomp makes Unix sockets at its start only");
    auto file = UnixListener::open(open.plan.name, SOMAXCONN);
    if (!file) {
      Error error = std::move(file).error().in("listening on " + open.plan.name);
      error.field = "host_unix";
      return error;
    }
    open.file.emplace(std::move(*file));
  }
  UniqueFd copy(fcntl(open.file->fd(), F_DUPFD_CLOEXEC, 0));
  if (!copy) return sys_error("listening on " + open.plan.name);
  return copy;
}

Result<UniqueFd> Listeners::host_socket(Open& open) {
  auto made = open_listener(Transport::tcp, open.bound, open.plan.interface);
  if (!made && made.error().code == Code::in_use && open.bound.address == Address::any(Family::v6) && has_v4_half(open))
    made = open_listener(Transport::tcp, open.bound, open.plan.interface, Wildcard::v6_only);
  if (!made) return std::move(made).error();
  open.bound = made->bound;
  return std::move(made->fd);
}

Result<> Listeners::carry_by_general(Open& open) {
  const std::string because = ": only relays can, and there are none: " + why_no_relays();
  if (open.plan.side == Side::host_unix) return unsupported("host_unix", "forwarding a Unix socket" + because);
  if (open.plan.side == Side::host_inherited) return unsupported("host_fd", "forwarding an inherited listener" + because);
  if (!open.plan.interface.empty()) return unsupported("host_interface", "listening on one interface" + because);
  NH_LET(guest, general_destination(open, open.plan.destination));
  NH_LET(bound, add_to_general(open.bound, guest));
  // libslirp's listener on [::] takes IPv6 clients alone.
  if (const Endpoint v4_half{Address::any(Family::v4), bound.port};
      bound.address == Address::any(Family::v6) && open.plan.destination.v4 && !has_v4_half(open)) {
    if (auto added = add_to_general(v4_half, open.plan.destination.endpoint(Family::v4)); !added) {
      setup_.general->remove(bound);
      return std::move(added).error();
    }
    open.v4_half = v4_half;
  }
  open.bound = bound;
  open.carrier = Carrier::general;
  open.reason = why_no_relays();
  if (open.reason.empty()) open.reason = "the guest's TAP has no address of this family";
  return Ok{};
}

Result<Endpoint> Listeners::add_to_general(const Endpoint& host, const Endpoint& guest) {
  auto bound = setup_.general->add(host, guest);
  if (bound || bound.error().sys_errno == 0) return bound;
  return bind_error(bound.error().sys_errno, Transport::tcp, host);
}

Result<Endpoint> Listeners::general_destination(const Open& open, const Destination& destination) const {
  const Endpoint guest = destination.endpoint(open.bound.address.family());
  if (guest.address.family() == open.bound.address.family()) return guest;
  const std::string family = open.bound.address.is_v6() ? "IPv6" : "IPv4",
                    other = open.bound.address.is_v6() ? "IPv4" : "IPv6";
  return unsupported("guest_addr", "forwarding from " + family + " to " + other + ", as the rule has no " + family +
                                       " address of the guest: only relays can, and there are none: " + why_no_relays());
}

Result<> Listeners::ask_guest(std::uint64_t number, Open& open) {
  // Steering is not asked for: an ordinary socket of the guest needs the agent alone, and listen() says if that is gone.
  if (setup_.relays == nullptr || setup_.stand_ins == nullptr)
    return unsupported("kind", "a reverse rule needs a socket of the guest's namespace: " + why_no_relays());
  const auto kind = open.plan.transport == Transport::tcp ? StandIns::Kind::tcp_listener : StandIns::Kind::udp;
  open.carrier = Carrier::awaited;
  open.reason = "the guest's socket is not there yet";
  open.ticket = 0;
  auto opening = setup_.stand_ins->listen(kind, open.plan.at,
                                          [this, number](Result<UniqueFd> socket) { arrived(number, std::move(socket)); });
  open.ticket = opening.ticket;
  if (!opening.result) return Ok{};
  if (auto carried = carry_guest_socket(number, open, std::move(*opening.result)); !carried) {
    open.carrier = Carrier::none;
    open.reason = carried.error().message();
    return Error{.code = Code::failed, .what = open.reason, .field = "guest_port"};
  }
  return Ok{};
}

void Listeners::arrived(std::uint64_t number, Result<UniqueFd> socket) {
  const auto found = open_.find(number);
  if (found == open_.end() || found->second.carrier != Carrier::awaited) return;
  Open& open = found->second;
  open.ticket = 0;
  if (auto carried = carry_guest_socket(number, open, std::move(socket)); !carried) fail(open, carried.error().message());
}

Result<> Listeners::carry_guest_socket(std::uint64_t number, Open& open, Result<UniqueFd> socket) {
  Result<> added = Ok{};
  if (!socket)
    added = std::move(socket).error();
  else if (open.plan.transport == Transport::tcp)
    added = setup_.relays->add(number, open.rule, std::move(*socket), open.plan.destination);
  else
    added = setup_.datagrams->add_reverse(number, open.rule, std::move(*socket), open.plan.destination);
  if (!added)
    return Error{.code = Code::failed,
                 .what = "listening on " + open.plan.at.text() + " in the guest: " + added.error().message()};
  open.carrier = open.plan.transport == Transport::tcp ? Carrier::relays : Carrier::datagrams;
  open.reason.clear();
  return Ok{};
}

Result<> Listeners::may_change(std::uint64_t number, const ListenerPlan& plan) const {
  const Open& open = open_.at(number);
  NH_TRY(check_loopback(plan.destination));
  if (open.carrier == Carrier::general) NH_TRY(general_destination(open, plan.destination));
  return Ok{};
}

void Listeners::change(std::uint64_t number, std::uint64_t rule, const ListenerPlan& plan) {
  Open& open = open_.at(number);
  const bool same_destination = open.plan.destination == plan.destination;
  open.rule = rule;
  open.plan = plan;
  if (plan.destination.is_loopback() && setup_.loopback_wanted) setup_.loopback_wanted();
  switch (open.carrier) {
    case Carrier::relays:
      return setup_.relays->change(number, rule, plan.destination);
    case Carrier::datagrams:
      if (auto changed = setup_.datagrams->change(number, rule, plan.destination); !changed) {
        let_go(number, open);
        fail(open, changed.error().message());
      }
      return;
    case Carrier::general:
      if (same_destination) return;
      suspend(number);
      return resume(number);
    case Carrier::none:
    case Carrier::awaited:
      break;
  }
}

FlowCounters Listeners::let_go(std::uint64_t number, Open& open, bool for_good) {
  FlowCounters counters;
  switch (open.carrier) {
    case Carrier::relays:
      setup_.relays->remove(number);
      break;
    case Carrier::general:
      setup_.general->remove(open.bound);
      if (open.v4_half) setup_.general->remove(*std::exchange(open.v4_half, std::nullopt));
      break;
    case Carrier::datagrams:
      counters = setup_.datagrams->of_listener(number);
      setup_.datagrams->remove(number);
      break;
    case Carrier::awaited:
      if (open.ticket != 0) setup_.stand_ins->cancel(open.ticket);
      break;
    case Carrier::none:
      break;
  }
  open.carrier = Carrier::none;
  open.ticket = 0;
  // A confined helper could not make it again: its clients wait in its queue meanwhile.
  if (for_good || !confined_) open.file.reset();
  return counters;
}

FlowCounters Listeners::close(std::uint64_t number) {
  FlowCounters counters = let_go(number, open_.at(number));
  open_.erase(number);
  return counters;
}

void Listeners::clear() {
  while (!open_.empty()) close(open_.begin()->first);
}

void Listeners::suspend(std::uint64_t number) {
  let_go(number, open_.at(number), false);
}

void Listeners::resume(std::uint64_t number) {
  Open& open = open_.at(number);
  if (auto carried = carry(number, open); !carried) fail(open, carried.error().message());
}

void Listeners::fail(Open& open, const std::string& reason) {
  open.carrier = Carrier::none;
  open.reason = reason;
  if (setup_.failed) setup_.failed(open.rule, reason);
}

void Listeners::path_changed() {
  const bool ready = setup_.path->now().phase == KernelPathState::Phase::ready;
  for (auto& [number, open] : open_) {
    // The guest's sockets that are here already need nobody there; UDP has no other path.
    const bool tcp_of_host = open.plan.side != Side::guest && open.plan.transport == Transport::tcp;
    const bool relays = relays_carry(open);
    const bool leaves = !relays && tcp_of_host && open.carrier == Carrier::relays;
    const bool comes_back =
        ready && ((tcp_of_host && relays && open.carrier == Carrier::general) || open.carrier == Carrier::none);
    if (!leaves && !comes_back) continue;
    let_go(number, open, false);
    resume(number);
  }
}

bool Listeners::works(std::uint64_t number) const {
  return open_.at(number).carrier != Carrier::none;
}

std::vector<std::uint64_t> Listeners::rivals(const ListenerPlan& plan) const {
  std::vector<std::uint64_t> found;
  if (plan.side != Side::host || plan.at.port == 0) return found;
  for (const auto& [number, open] : open_)
    if (open.plan.side == Side::host && open.plan.transport == plan.transport && open.bound.port == plan.at.port &&
        open.carrier != Carrier::none)
      found.push_back(number);
  return found;
}

ListenerEntry Listeners::entry(std::uint64_t number) const {
  const Open& open = open_.at(number);
  const ListenerPlan& plan = open.plan;
  ListenerEntry entry{.transport = plan.transport, .host = {}, .host_path = {}, .guest = {}, .reason = open.reason};
  if (plan.side == Side::guest) {
    entry.host = plan.destination.host_endpoint();
    entry.host_path = plan.destination.host_path;
    entry.guest = plan.at;
  } else {
    entry.host = open.bound;
    if (plan.side == Side::host_unix) entry.host_path = plan.name;
    entry.guest = plan.destination.endpoint(open.bound.address.family());
    if (plan.transport == Transport::udp) entry.path = FlowPath::frames;
  }
  if (open.carrier == Carrier::general) entry.path = FlowPath::libslirp;
  entry.paused = open.carrier == Carrier::none || open.carrier == Carrier::awaited ||
                 (open.carrier == Carrier::relays && setup_.relays->paused(number));
  return entry;
}

FlowCounters Listeners::datagram_counters(std::uint64_t number) const {
  return open_.at(number).carrier == Carrier::datagrams ? setup_.datagrams->of_listener(number) : FlowCounters{};
}

PortSet Listeners::host_ports_without(std::uint64_t rule) const {
  PortSet ports;
  for (const auto& [number, open] : open_)
    if (open.plan.side == Side::host && open.rule != rule) ports.emplace(open.plan.transport, open.bound.port);
  return ports;
}

std::vector<int> Listeners::directory_fds() const {
  std::vector<int> fds;
  for (const auto& [number, open] : open_)
    if (open.file) fds.push_back(open.file->directory_fd());
  return fds;
}

}  // namespace nh
