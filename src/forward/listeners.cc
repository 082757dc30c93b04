// SPDX-License-Identifier: BSD-3-Clause
#include "src/forward/listeners.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace nh {
namespace {

using Side = ListenerPlan::Side;

Error unsupported(std::string field, std::string what) {
  return Error{.code = Code::unsupported, .what = std::move(what), .field = std::move(field)};
}

}  // namespace

Listeners::Listeners(ListenersSetup setup)
    : setup_(std::move(setup)), carriers_{setup_.general, setup_.datagrams, setup_.reverse_datagrams} {
  if (setup_.relays != nullptr) carriers_.push_back(setup_.relays);
}

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
           other.bound == v4_half && other.carrier != nullptr;
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
  if (open.plan.transport == Transport::udp) {
    NH_LET(socket, host_socket(open));
    return start(number, open, *setup_.datagrams, std::move(socket));
  }
  return relays_carry(open) ? carry_by_relays(number, open) : carry_by_general(number, open);
}

Result<> Listeners::start(std::uint64_t number, Open& open, Carrier& carrier, ListenOn on, std::size_t descriptors) {
  auto fds = setup_.fds->keep(descriptors);
  if (!fds) return Error{.code = Code::exhausted, .what = "no file descriptor is left for a listener"};
  NH_LET(bound, carrier.add(number, open.rule, std::move(on), open.plan.destination));
  open.bound = bound;
  open.carrier = &carrier;
  open.fds = std::move(*fds);
  return Ok{};
}

Result<> Listeners::check_loopback(const Destination& destination) const {
  if (!destination.is_loopback() || relays_work()) return Ok{};
  return unsupported("guest_addr", "the guest's loopback is reached by relays only: " + why_no_relays());
}

Result<> Listeners::carry_by_relays(std::uint64_t number, Open& open) {
  NH_LET(socket, relay_socket(open));
  auto started = start(number, open, *setup_.relays, std::move(socket));
  if (!started) open.file.reset();
  return started;
}

Result<UniqueFd> Listeners::relay_socket(Open& open) {
  if (open.plan.side == Side::host_inherited) return copy_of_listener(setup_.inherited, open.plan.name);
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

Result<UniqueFd> Listeners::host_socket(const Open& open) const {
  auto made = open_listener(open.plan.transport, open.bound, open.plan.interface);
  if (!made && made.error().code == Code::in_use && open.bound.address == Address::any(Family::v6) && has_v4_half(open))
    made = open_listener(open.plan.transport, open.bound, open.plan.interface, Wildcard::v6_only);
  if (!made) return std::move(made).error();
  return std::move(made->fd);
}

Result<> Listeners::carry_by_general(std::uint64_t number, Open& open) {
  const std::string because = ": only relays can, and there are none: " + why_no_relays();
  if (open.plan.side == Side::host_unix) return unsupported("host_unix", "forwarding a Unix socket" + because);
  if (open.plan.side == Side::host_inherited) return unsupported("host_fd", "forwarding an inherited listener" + because);
  if (!open.plan.interface.empty()) return unsupported("host_interface", "listening on one interface" + because);
  NH_TRY(check_general_destination(open, open.plan.destination));
  // libslirp has a socket for each family.
  const bool both = open.bound.address == Address::any(Family::v6) && open.plan.destination.v4 && !has_v4_half(open);
  const ListenAt at{open.bound, both ? Wildcard::dual : Wildcard::v6_only};
  NH_TRY(start(number, open, *setup_.general, at, both ? 2 : 1));
  open.reason = why_no_relays();
  if (open.reason.empty()) open.reason = "the guest's TAP has no address of this family";
  return Ok{};
}

Result<> Listeners::check_general_destination(const Open& open, const Destination& destination) const {
  const Family own = open.bound.address.family();
  if (destination.endpoint(own).address.family() == own) return Ok{};
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
  open.reason = "the guest's socket is not there yet";
  auto opening = setup_.stand_ins->listen(kind, open.plan.at,
                                          [this, number](Result<UniqueFd> socket) { arrived(number, std::move(socket)); });
  open.ticket = opening.ticket;
  if (!opening.result) return Ok{};
  if (auto carried = carry_guest_socket(number, open, std::move(*opening.result)); !carried) {
    open.reason = carried.error().message();
    return Error{.code = Code::failed, .what = open.reason, .field = "guest_port"};
  }
  return Ok{};
}

void Listeners::arrived(std::uint64_t number, Result<UniqueFd> socket) {
  const auto found = open_.find(number);
  if (found == open_.end() || found->second.ticket == 0) return;
  Open& open = found->second;
  open.ticket = 0;
  if (auto carried = carry_guest_socket(number, open, std::move(socket)); !carried) fail(open, carried.error().message());
}

Result<> Listeners::carry_guest_socket(std::uint64_t number, Open& open, Result<UniqueFd> socket) {
  Carrier& carrier = open.plan.transport == Transport::tcp ? *setup_.relays : *setup_.reverse_datagrams;
  const auto started = socket ? start(number, open, carrier, std::move(*socket)) : Result<>(std::move(socket).error());
  if (!started)
    return Error{.code = Code::failed,
                 .what = "listening on " + open.plan.at.text() + " in the guest: " + started.error().message()};
  open.reason.clear();
  return Ok{};
}

Result<> Listeners::may_change(std::uint64_t number, const ListenerPlan& plan) const {
  const Open& open = open_.at(number);
  NH_TRY(check_loopback(plan.destination));
  if (open.carrier == setup_.general) NH_TRY(check_general_destination(open, plan.destination));
  return Ok{};
}

void Listeners::change(std::uint64_t number, std::uint64_t rule, const ListenerPlan& plan) {
  Open& open = open_.at(number);
  open.rule = rule;
  open.plan = plan;
  if (plan.destination.is_loopback() && setup_.loopback_wanted) setup_.loopback_wanted();
  if (open.carrier == nullptr || open.carrier->change(number, rule, plan.destination)) return;
  // Only a new one can lead there.
  suspend(number);
  resume(number);
}

void Listeners::let_go(std::uint64_t number, Open& open, bool for_good) {
  if (open.carrier != nullptr) std::exchange(open.carrier, nullptr)->remove(number);
  open.fds = {};
  if (open.ticket != 0) setup_.stand_ins->cancel(std::exchange(open.ticket, 0));
  // A confined helper could not make it again: its clients wait in its queue meanwhile.
  if (for_good || !confined_) open.file.reset();
}

void Listeners::close(std::uint64_t number) {
  let_go(number, open_.at(number), true);
  open_.erase(number);
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
  open.reason = reason;
  if (setup_.failed) setup_.failed(open.rule, reason);
}

void Listeners::path_changed() {
  const bool ready = setup_.path->now().phase == KernelPathState::Phase::ready;
  for (auto& [number, open] : open_) {
    // The guest's sockets that are here already need nobody there; UDP has no other path.
    const bool tcp_of_host = open.plan.side != Side::guest && open.plan.transport == Transport::tcp;
    const bool relays = relays_carry(open);
    const bool leaves = !relays && tcp_of_host && open.carrier == setup_.relays;
    const bool comes_back = ready && ((tcp_of_host && relays && open.carrier == setup_.general) || !works(number));
    if (!leaves && !comes_back) continue;
    let_go(number, open, false);
    resume(number);
  }
}

bool Listeners::works(std::uint64_t number) const {
  const Open& open = open_.at(number);
  return open.carrier != nullptr || open.ticket != 0;
}

std::vector<std::uint64_t> Listeners::rivals(const ListenerPlan& plan) const {
  std::vector<std::uint64_t> found;
  if (plan.side != Side::host || plan.at.port == 0) return found;
  for (const auto& [number, open] : open_)
    if (open.plan.side == Side::host && open.plan.transport == plan.transport && open.bound.port == plan.at.port &&
        open.carrier != nullptr)
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
  if (open.carrier == setup_.general) entry.path = FlowPath::libslirp;
  entry.paused = open.carrier == nullptr || open.carrier->paused();
  return entry;
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
