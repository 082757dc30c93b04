// SPDX-License-Identifier: BSD-3-Clause
#include "src/agent/guest_side.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>

#include "src/base/limits.h"
#include "src/netlink/link.h"
#include "src/netlink/route.h"

namespace nh::agent {

namespace {

std::optional<NlSocket> connect_or_say(int protocol, std::string& ret_why) {
  auto made = NlSocket::connect(protocol);
  if (made) return std::move(made).value();
  ret_why = made.error().message();
  return std::nullopt;
}

std::optional<std::uint64_t> cookie_of(int fd) {
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) != 0) return std::nullopt;
  return cookie;
}

Result<UniqueFd> duplicate(int fd) {
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) return sys_error("duplicating a descriptor");
  return copy;
}

}  // namespace

Result<std::unique_ptr<GuestSide>> GuestSide::open(int tap) {
  NH_LET(route, NlSocket::connect());
  NH_LET(routing, RoutingMonitor::open());
  std::unique_ptr<GuestSide> side(new GuestSide(tap, std::move(route), std::move(routing)));
  // Of these three none is needed to serve the guest: without them something is off, and says why.
  side->nftables_ = connect_or_say(NETLINK_NETFILTER, side->no_nftables_);
  side->diag_ = connect_or_say(NETLINK_SOCK_DIAG, side->no_diag_);
  // Belongs to the namespace that it was opened in, whoever reads it.
  side->port_range_.reset(::open("/proc/sys/net/ipv4/ip_local_port_range", O_RDONLY | O_CLOEXEC));
  return side;
}

GuestSide::~GuestSide() {
  steering_.reset();
  undo_.roll_back();
}

void GuestSide::handle(const ToAgent& message) {
  if (const auto* request = std::get_if<SteeringRequest>(&message)) {
    unanswered_ = request->seq;
    for (const Family family : families) {
      Proof& proof = proofs_.of(family);
      proof.dial = request->dial.of(family);
      proof.known.serves = proof.known.dials = false;
    }
    if (std::exchange(wanted_, true)) repair_rules();
    tell_at_ = clock_.now() + limits::steering_address_wait;
    steer();
  } else if (const auto* want = std::get_if<WantBatch>(&message)) {
    make_batch(*want);
  } else if (const auto* bound = std::get_if<OpenBound>(&message)) {
    answer(bound->seq, bound_stand_in(bound->guest_peer, mark()));
  } else if (const auto* udp = std::get_if<OpenUdp>(&message)) {
    if (udp->guest.address.is_v4() && udp->guest.address.is_loopback())
      if (auto allowed = allow_localnet(); !allowed) return answer(udp->seq, std::move(allowed).error());
    answer(udp->seq, udp_stand_in(udp->guest_peer, udp->guest, mark()));
  } else if (const auto* listen = std::get_if<Listen>(&message)) {
    auto made = guest_socket(listen->kind, listen->at);
    if (made)
      if (const auto cookie = cookie_of(made->get())) own_sockets_.insert(*cookie);
    answer(listen->seq, std::move(made));
  } else if (const auto* localnet = std::get_if<Localnet>(&message)) {
    auto allowed = allow_localnet();
    post_(Answer{.seq = localnet->seq,
                 .has_fd = false,
                 .error = allowed ? std::nullopt : std::optional(std::move(allowed).error())},
          {});
  } else if (const auto* follow = std::get_if<FollowPorts>(&message)) {
    listeners_.reset();
    look_at_ = follow->on ? clock_.now() : Instant::max();
  }
}

void GuestSide::answer(std::uint32_t seq, Result<UniqueFd> made) {
  if (!made) return post_(Answer{.seq = seq, .has_fd = false, .error = std::move(made).error()}, {});
  std::vector<UniqueFd> fds;
  fds.push_back(std::move(*made));
  post_(Answer{.seq = seq, .has_fd = true, .error = std::nullopt}, std::move(fds));
}

void GuestSide::make_batch(const WantBatch& want) {
  Batch batch{.family = want.family, .count = 0, .error = std::nullopt};
  std::vector<UniqueFd> fds;
  while (fds.size() < want.count && !batch.error) {
    auto made = blank_stand_in(want.family, mark());
    if (made)
      fds.push_back(std::move(*made));
    else
      batch.error = std::move(made).error();
  }
  batch.count = static_cast<std::uint32_t>(fds.size());
  post_(batch, std::move(fds));
}

// ---- steering ----

std::vector<Address> GuestSide::usable_addresses() const {
  std::vector<Address> addresses;
  if (!state_.up) return addresses;
  for (const InterfaceAddress& entry : state_.addresses)
    if (!entry.tentative) addresses.push_back(entry.address);
  return addresses;
}

void GuestSide::on_state(const InterfaceState& state) {
  state_ = state;
  if (!wanted_) return;
  if (steering_)
    if (auto followed = steering_->follow_addresses(usable_addresses()); !followed)
      post_(Note{.text = std::move(followed).error().in("steering").message()}, {});
  steer();
}

void GuestSide::steer() {
  const auto before = known();
  for (const Family family : families) prove(family, proofs_.of(family));
  if (steering_ && !in_use_ && !any_proved()) {
    steering_.reset();
    routing_.take_events();  // our own; they are no reason to try again
  }
  // Whoever has made the namespace may configure it only after the helper was ready (RootlessKit does): an answer that changes
  // in a moment would have every listener change its path, and reset who is in its queue.
  const bool may_come = !any_proved() && (proofs_.v4.waits || proofs_.v6.waits);
  if (unanswered_ != 0 && may_come && clock_.now() < tell_at_) return;
  tell_at_ = Instant::max();
  if (unanswered_ != 0 || !(known() == before)) report_steering();
}

void GuestSide::set_up() {
  const auto give_up = [](Proof& proof, const Error* refusal) {
    proof.given_up = refusal != nullptr;
    if (refusal != nullptr) proof.known.serves_reason = proof.known.dials_reason = refusal->message();
  };
  const Error missing{.code = Code::unsupported, .sys_errno = 0, .what = no_nftables_};
  auto made = nftables_ ? Steering::set_up(route_, *nftables_, tap_, usable_addresses()) : Result<Steering>(missing);
  if (made) {
    steering_.emplace(std::move(*made));
    allow_own_sources();
  }
  const auto refusal_of = [&](Family family) -> const Error* {
    if (!steering_) return &made.error();
    const auto& refusal = steering_->refusal(family);
    return refusal ? &*refusal : nullptr;
  };
  for (const Family family : families) give_up(proofs_.of(family), refusal_of(family));
}

void GuestSide::prove(Family family, Proof& proof) {
  if (!proof.open()) return;
  // A link-local address cannot be told without its interface, and no forward leads there.
  const std::vector<Address> addresses = usable_addresses();
  const auto found = std::find_if(addresses.begin(), addresses.end(), [family](const Address& address) {
    return address.family() == family && !address.is_link_local();
  });
  proof.waits = true;
  FamilySteering& known = proof.known;
  known.dials = false;
  if (found == addresses.end()) {
    known.serves_reason.clear();
    known.dials_reason.clear();
    return;
  }
  if (auto routed = has_way_out(family); !routed) {
    known.serves_reason = known.dials_reason = std::move(routed).error().message();
    return;
  }
  proof.waits = false;
  if (!steering_) set_up();
  if (!proof.open()) return;
  // Each of its own: a guest's firewall may let nothing in but the answers to what the guest has dialled.
  if (!known.serves) {
    const auto proved = prove_steering(*found, mark());
    known.serves = proved.ok();
    known.serves_reason = proved ? "" : proved.error().message();
  }
  const auto dials = prove_dials_from(*found, proof);
  known.dials = dials.ok();
  known.dials_reason = dials ? "" : dials.error().message();
  if (!known.serves || !dials)
    retry_at_ = clock_.now() + (known.any() ? limits::steering_firewall_pause : limits::steering_retry_pause);
}

Result<> GuestSide::prove_dials_from(const Address& guest, const Proof& proof) {
  if (!proof.dial)
    return Error{.code = Code::unsupported, .sys_errno = 0, .what = "the helper has no address of this family"};
  // The frames of the proof must come to the helper, and to nobody else whom the guest may have a link to.
  NH_LET(interface, interface_towards(route_, proof.dial->address));
  if (interface != tap_)
    return Error{.code = Code::unsupported,
                 .sys_errno = 0,
                 .what = "the guest's way to " + proof.dial->address.text() + " is not its TAP"};
  return prove_dials(guest, *proof.dial, mark());
}

void GuestSide::report_steering() {
  SteeringReport report{.seq = std::exchange(unanswered_, 0), .steering = known()};
  std::vector<UniqueFd> fds;
  if (report.any()) {
    auto table = duplicate(nftables_->fd()), range = duplicate(port_range_.get());
    if (table && range) {
      fds.push_back(std::move(*table));
      fds.push_back(std::move(*range));
      in_use_ = true;
    } else {
      const std::string why = (table ? range : table).error().message();
      const FamilySteering none{.serves_reason = why, .dials_reason = why};
      report.steering = {.v4 = none, .v6 = none};
    }
  }
  post_(report, std::move(fds));
}

void GuestSide::on_event() {
  routing_.take_events();
  repair_at_ = std::max(clock_.now(), repaired_ + limits::steering_repair_pause);
}

void GuestSide::repair() {
  repair_rules();
  if (!proofs_.v4.open() && !proofs_.v6.open()) return;
  if (repaired_ >= retry_at_)
    steer();
  else
    prove_at_ = retry_at_;
}

void GuestSide::repair_rules() {
  repaired_ = clock_.now();
  if (!steering_) return;
  std::string trouble;
  if (const auto missing = steering_->repair(); !missing) {
    trouble = "the guest's rules of routing cannot be repaired: " + missing.error().message();
  } else if (!missing->empty()) {
    std::string words;
    for (const std::string& word : *missing) words += (words.empty() ? "" : ", ") + word;
    trouble = "the guest had removed what steers its answers to us, which is put back: " + words;
    last_trouble_.clear();
  }
  if (!trouble.empty() && trouble != last_trouble_) post_(Note{.text = trouble}, {});
  last_trouble_ = trouble;
}

Result<RtLink> GuestSide::tap_link() {
  rtnl_link* found = nullptr;
  NH_TRY(route_.check(rtnl_link_get_kernel(route_.get(), tap_, nullptr, &found), "looking at the TAP"));
  return RtLink(found);
}

// A stray segment that is written back into the TAP has the guest's own address as its source, which the kernel takes for a
// forgery otherwise (fib_frontend.c __fib_validate_source). IPv6 has no such check.
void GuestSide::allow_own_sources() {
  auto link = tap_link();
  const auto set = link ? set_accept_local(route_, link->get(), undo_) : Result<>(link.error());
  if (!set) post_(Note{.text = set.error().message()}, {});
}

Result<> GuestSide::allow_localnet() {
  if (localnet_) return Ok{};
  NH_LET(link, tap_link());
  NH_TRY(set_route_localnet(route_, link.get(), undo_));
  localnet_ = true;
  return Ok{};
}

// ---- ports ----

void GuestSide::look() {
  look_at_ = clock_.now() + limits::guest_listeners_age;
  std::string trouble = no_diag_;
  if (diag_) {
    auto list = list_listeners(*diag_, own_sockets_, limits::guest_listeners);
    if (list) {
      if (listeners_ == *list) return;
      listeners_ = std::move(*list);
      return post_(Ports{.list = *listeners_}, {});
    }
    trouble = list.error().message();
  }
  look_at_ = Instant::max();
  post_(Note{.text = "the guest's listening ports cannot be followed: " + trouble}, {});
}

void GuestSide::on_deadline() {
  const Instant now = clock_.now();
  if (now >= repair_at_) {
    repair_at_ = Instant::max();
    repair();
  }
  if (now >= tell_at_ || now >= prove_at_) {
    prove_at_ = Instant::max();
    steer();
  }
  if (now >= look_at_) look();
}

}  // namespace nh::agent
