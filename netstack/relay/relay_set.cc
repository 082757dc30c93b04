// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/relay_set.h"

#include <netinet/tcp.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "netstack/relay/stream_socket.h"

namespace nh {
namespace {

constexpr std::size_t fds_of_a_flow = 2;

/// Of one loop of so many threads' and the set's own.
PumpStore::Share share(unsigned threads) {
  return {.pipes = limits::relay_pipes / (threads + 1), .held = limits::relay_held / (threads + 1)};
}

}  // namespace

FlowEnd flow_end_of(int error) {
  switch (error) {
    case ECONNREFUSED:
    case ECONNRESET:
      return FlowEnd::refused;
    case ETIMEDOUT:
      return FlowEnd::timed_out;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EACCES:  // "prohibited" (net/ipv4/icmp.c icmp_err_convert)
    case EPERM:
    case ENOENT:  // of a Unix socket
      return FlowEnd::unreachable;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL:
    case EADDRINUSE:
    case EAGAIN:  // the queue of a Unix listener is full (unix(7))
      return FlowEnd::exhausted;
    default:
      return FlowEnd::failed;
  }
}

std::size_t RelaySet::PairHash::operator()(const Pair& pair) const noexcept {
  const std::size_t guest = std::hash<Endpoint>()(pair.guest);
  return guest ^ (std::hash<Endpoint>()(pair.guest_peer) + 0x9e3779b97f4a7c15ULL + (guest << 6) + (guest >> 2));
}
std::size_t RelaySet::PairHash::operator()(const Relay* relay) const noexcept {
  return (*this)(Pair{relay->start().guest, relay->start().guest_peer});
}
bool RelaySet::PairEqual::operator()(const Relay* a, const Relay* b) const noexcept {
  return (*this)(Pair{a->start().guest, a->start().guest_peer}, b);
}
bool RelaySet::PairEqual::operator()(const Pair& a, const Relay* b) const noexcept {
  return a.guest == b->start().guest && a.guest_peer == b->start().guest_peer;
}
bool RelaySet::PairEqual::operator()(const Relay* a, const Pair& b) const noexcept {
  return (*this)(b, a);
}

RelaySet::RelaySet(const RelaySetup& setup)
    : setup_(setup),
      loop_({.epoll = setup.epoll, .clock = setup.clock, .fds = setup.fds, .share = share(setup.threads), .owner = this}),
      threads_(
          {.epoll = setup.epoll, .clock = setup.clock, .fds = setup.fds, .share = share(setup.threads), .owner = this}) {}

RelaySet::~RelaySet() {
  threads_.stop();
  setup_.fds->give(fds_of_a_flow * (all_.size() + reserved_));
  all_.clear();
}

Result<> RelaySet::start_threads() {
  if (setup_.threads == 0) return Ok{};
  auto started = threads_.start(setup_.threads);
  if (!threads_.list().empty()) loop_.lead_away(setup_.large);
  return started;
}

std::vector<std::size_t> RelaySet::thread_flows() const {
  std::vector<std::size_t> flows;
  for (const RelayThreads::Entry& entry : threads_.list()) flows.push_back(entry.flows);
  return flows;
}

void RelaySet::mover_is_large(Mover& mover) {
  mover.leave(false);
  mover.relay().thread_ = static_cast<std::uint8_t>(threads_.take(mover));
}

void RelaySet::mover_returned(Mover& mover, std::optional<FlowEnd> end) {
  Relay& relay = mover.relay();
  if (end && relay.asked_) return;
  threads_.left(*std::exchange(relay.thread_, std::nullopt));
  ended(relay, relay.asked_ ? *relay.asked_ : *end);
}

void RelaySet::ask_back(Relay& relay, FlowEnd end) {
  if (relay.asked_) return;
  relay.asked_ = end;
  disown(relay);
  threads_.ask_back(*relay.thread_, relay.mover_);
}

std::size_t RelaySet::allowed(std::size_t fds) {
  constexpr std::size_t pipes = 2 * limits::relay_pipes;
  return std::min((fds > 2 * pipes ? fds - pipes : fds / 2) / fds_of_a_flow, limits::relay_flows);
}

bool RelaySet::reserve() {
  if (is_full() || !setup_.fds->take(fds_of_a_flow)) return false;
  ++reserved_;
  return true;
}

void RelaySet::unreserve() {
  NH_BUG_IF(reserved_ == 0);
  --reserved_;
  setup_.fds->give(fds_of_a_flow);
}

Relay* RelaySet::begin(const Relay::Start& start, Relay::Side side, UniqueFd socket, Relay::Waiter* waiter, First first) {
  NH_BUG_IF(reserved_ == 0);
  RelayRule& rule = rules_[start.rule];
  Relay& relay = all_.emplace_back(*this, setup_.ids->next(), start, rule, waiter, setup_.clock->now());
  --reserved_;
  relay.place_ = std::prev(all_.end());
  relay.awaited_ = Mover::other(side);
  if (first == First::dialling) relay.phase_ = Relay::Phase::dialling;
  if (start.dialled_by_guest) own(relay);
  ++rule.flows.flows;
  ++flows_.flows;
  if (relay.mover_.watch(side, std::move(socket), relay)) return &relay;
  ended(relay, FlowEnd::exhausted);
  return nullptr;
}

void RelaySet::join(Relay& relay, UniqueFd socket) {
  NH_BUG_IF(relay.phase_ != Relay::Phase::waiting);
  relay.ticket_ = 0;
  relay.phase_ = Relay::Phase::connecting;
  if (!relay.mover_.watch(relay.awaited_, std::move(socket), relay)) relay.finish(FlowEnd::exhausted);
}

void RelaySet::fail(Relay& relay, FlowEnd why) {
  relay.ticket_ = 0;
  ended(relay, why);
}

Relay* RelaySet::find(const Endpoint& guest, const Endpoint& guest_peer) const {
  const auto found = owned_.find(Pair{guest, guest_peer});
  return found == owned_.end() ? nullptr : *found;
}

bool RelaySet::challenge(Relay& relay) {
  const int stand_in = relay.mover_.fd(Relay::guest);
  if (stand_in < 0) return false;
  const int state = tcp_state(stand_in);
  if (state == TCP_CLOSE || state == TCP_SYN_SENT || state == TCP_SYN_RECV) return false;
  if (relay.challenged_until_ != Instant{}) return true;
  set_probe_idle(stand_in, std::chrono::seconds(1));
  relay.challenged_until_ = setup_.clock->now() + challenge_time;
  challenged_.emplace(relay.challenged_until_, &relay);
  return true;
}

void RelaySet::end_challenge(Relay& relay) {
  if (relay.challenged_until_ == Instant{}) return;
  challenged_.erase({std::exchange(relay.challenged_until_, Instant{}), &relay});
}

void RelaySet::supersede(Relay& relay) {
  if (!relay.is_open()) return relay.finish(FlowEnd::reset_by_guest);
  disown(relay);
}

Instant RelaySet::next_deadline() const {
  return std::min(loop_.next_deadline(), challenged_.empty() ? Instant::max() : challenged_.begin()->first);
}

void RelaySet::run() {
  loop_.run();
  if (challenged_.empty()) return;
  const Instant now = setup_.clock->now();
  while (!challenged_.empty() && challenged_.begin()->first <= now) {
    Relay& relay = *challenged_.begin()->second;
    end_challenge(relay);
    set_probe_idle(relay.mover_.fd(Relay::guest), limits::relay_probe_idle);
  }
}

std::vector<FlowRecord> RelaySet::list(std::uint64_t after, std::size_t limit, std::optional<std::uint64_t> rule) const {
  std::vector<FlowRecord> found;
  for (const Relay& relay : all_) {
    if (found.size() >= limit) break;
    if (relay.id() > after && !relay.asked_ && (!rule || *rule == relay.start().rule)) found.push_back(relay.record());
  }
  return found;
}

bool RelaySet::kill(std::uint64_t id) {
  const auto found = std::find_if(all_.begin(), all_.end(), [id](const Relay& relay) { return relay.id() == id; });
  if (found == all_.end() || found->asked_) return false;
  found->finish(FlowEnd::killed);
  return true;
}

RelaySet::Counters RelaySet::counters() const {
  Counters sum{.all = flows_, .ends = ends_};
  const auto add = [&sum](const RelayLoop::Counters& one) {
    sum.all.bytes_to_guest += one.bytes_to_guest.value();
    sum.all.bytes_to_host += one.bytes_to_host.value();
    sum.turns += one.turns.value();
    sum.visits += one.visits.value();
  };
  add(loop_.counters());
  for (const RelayThreads::Entry& entry : threads_.list()) add(entry.thread->loop().counters());
  return sum;
}

std::size_t RelaySet::pipes() const {
  std::size_t sum = loop_.store().pipes();
  for (const RelayThreads::Entry& entry : threads_.list()) sum += entry.thread->loop().store().pipes();
  return sum;
}

std::size_t RelaySet::held() const {
  std::size_t sum = loop_.store().held();
  for (const RelayThreads::Entry& entry : threads_.list()) sum += entry.thread->loop().store().held();
  return sum;
}

RelayCounters RelaySet::of(std::uint64_t number) const {
  const auto found = rules_.find(number);
  if (found == rules_.end()) return {};
  RelayCounters counters = found->second.flows;
  counters.bytes_to_guest = found->second.bytes.to_guest.load(std::memory_order_relaxed);
  counters.bytes_to_host = found->second.bytes.to_host.load(std::memory_order_relaxed);
  return counters;
}

void RelaySet::forget_rule(std::uint64_t rule) {
  const auto found = rules_.find(rule);
  if (found == rules_.end()) return;
  found->second.gone = true;
  if (found->second.flows.flows == 0) rules_.erase(found);
}

void RelaySet::own(Relay& relay) {
  owned_.insert(&relay);
}

void RelaySet::disown(Relay& relay) {
  if (const auto owned = owned_.find(&relay); owned != owned_.end() && *owned == &relay) owned_.erase(owned);
}

void RelaySet::opened(Relay& relay) {
  ++relay.rule_.flows.flows_opened;
  ++flows_.flows_opened;
  if (setup_.observer != nullptr && setup_.observer->wants_records()) setup_.observer->flow_opened(relay.record());
}

void RelaySet::ended(Relay& relay, FlowEnd end) {
  if (setup_.observer != nullptr && setup_.observer->wants_records()) setup_.observer->flow_closed(relay.record(), end);
  disown(relay);
  end_challenge(relay);
  if (!relay.is_open()) {
    ++relay.rule_.flows.flows_failed;
    ++flows_.flows_failed;
  }
  if (end != FlowEnd::closed) relay.mover_.reset_sockets();
  ++ends_[static_cast<std::size_t>(end)];
  --flows_.flows;
  --relay.rule_.flows.flows;
  const std::uint64_t rule = relay.start().rule;
  all_.erase(relay.place_);
  if (const auto found = rules_.find(rule); found->second.gone && found->second.flows.flows == 0) rules_.erase(found);
  // Last: it may wake somebody.
  setup_.fds->give(fds_of_a_flow);
}

}  // namespace nh
