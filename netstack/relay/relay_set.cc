// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/relay_set.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "netstack/relay/stream_socket.h"

namespace nh {
namespace {

constexpr std::size_t fds_of_a_flow = 2;

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
  return guest ^ (std::hash<Endpoint>()(pair.appears) + 0x9e3779b97f4a7c15ULL + (guest << 6) + (guest >> 2));
}
std::size_t RelaySet::PairHash::operator()(const Relay* relay) const noexcept {
  return (*this)(Pair{relay->start().guest, relay->start().appears});
}
bool RelaySet::PairEqual::operator()(const Relay* a, const Relay* b) const noexcept {
  return (*this)(Pair{a->start().guest, a->start().appears}, b);
}
bool RelaySet::PairEqual::operator()(const Pair& a, const Relay* b) const noexcept {
  return a.guest == b->start().guest && a.appears == b->start().appears;
}
bool RelaySet::PairEqual::operator()(const Relay* a, const Pair& b) const noexcept {
  return (*this)(b, a);
}

RelaySet::RelaySet(const RelaySetup& setup) : setup_(setup), store_(*setup.fds) {}

RelaySet::~RelaySet() {
  setup_.fds->give(fds_of_a_flow * (all_.size() + reserved_));
  all_.clear();
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
  Rule& rule = rules_[start.rule];
  Relay& relay = all_.emplace_back(*this, setup_.ids->next(), start, rule.counters, waiter, setup_.clock->now());
  --reserved_;
  relay.place_ = std::prev(all_.end());
  relay.awaited_ = Relay::other(side);
  if (first == First::dialling) relay.phase_ = Relay::Phase::dialling;
  if (start.dialled_by_guest) own(relay);
  ++rule.counters.flows;
  ++counters_.all.flows;
  if (relay.watch(side, std::move(socket))) return &relay;
  ended(relay, FlowEnd::exhausted);
  return nullptr;
}

void RelaySet::join(Relay& relay, UniqueFd socket) {
  NH_BUG_IF(relay.phase_ != Relay::Phase::waiting);
  relay.ticket_ = 0;
  relay.phase_ = Relay::Phase::connecting;
  if (!relay.watch(relay.awaited_, std::move(socket))) relay.finish(FlowEnd::exhausted);
}

void RelaySet::fail(Relay& relay, FlowEnd why) {
  relay.ticket_ = 0;
  ended(relay, why);
}

Relay* RelaySet::find(const Endpoint& guest, const Endpoint& appears) const {
  const auto found = owned_.find(Pair{guest, appears});
  return found == owned_.end() ? nullptr : *found;
}

void RelaySet::supersede(Relay& relay) {
  relay.finish(FlowEnd::reset_by_guest);
}

std::vector<FlowRecord> RelaySet::list(std::uint64_t after, std::size_t limit, std::optional<std::uint64_t> rule) const {
  std::vector<FlowRecord> found;
  for (const Relay& relay : all_) {
    if (found.size() >= limit) break;
    if (relay.id() > after && (!rule || *rule == relay.start().rule)) found.push_back(relay.record());
  }
  return found;
}

bool RelaySet::kill(std::uint64_t id) {
  const auto found = std::find_if(all_.begin(), all_.end(), [id](const Relay& relay) { return relay.id() == id; });
  if (found == all_.end()) return false;
  found->finish(FlowEnd::killed);
  return true;
}

Instant RelaySet::next_deadline() const {
  if (!ready_.empty()) return Instant{};
  return lingering_.empty() ? Instant::max() : lingering_.front().check;
}

void RelaySet::run() {
  ++counters_.turns;
  turn_left_ = limits::relay_turn;
  // Those that come onto the list meanwhile wait for the next turn.
  const std::size_t count = ready_.size();
  for (std::size_t i = 0; i < count; ++i) {
    Relay* relay = std::exchange(ready_[i], nullptr);
    if (relay == nullptr) continue;
    relay->ready_at_ = -1;
    relay->visit();
  }
  ready_.erase(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(count));
  for (std::size_t i = 0; i < ready_.size(); ++i)
    if (ready_[i] != nullptr) ready_[i]->ready_at_ = static_cast<std::int32_t>(i);
  if (!lingering_.empty()) run_lingering();
}

void RelaySet::run_lingering() {
  const Instant now = setup_.clock->now();
  while (!lingering_.empty() && lingering_.front().check <= now) {
    Relay& relay = *lingering_.front().relay;
    lingering_.pop_front();
    relay.lingers_ = false;
    if (relay.last_bytes_move())
      relay.carry_last_bytes();
    else
      relay.finish(relay.why_);
  }
}

RelayCounters RelaySet::of(std::uint64_t rule) const {
  const auto found = rules_.find(rule);
  return found == rules_.end() ? RelayCounters{} : found->second.counters;
}

void RelaySet::forget_rule(std::uint64_t rule) {
  const auto found = rules_.find(rule);
  if (found == rules_.end()) return;
  found->second.gone = true;
  if (found->second.counters.flows == 0) rules_.erase(found);
}

void RelaySet::later(Relay& relay) {
  if (relay.ready_at_ >= 0) return;
  relay.ready_at_ = static_cast<std::int32_t>(ready_.size());
  ready_.push_back(&relay);
}

void RelaySet::linger(Relay& relay) {
  relay.lingers_ = true;
  relay.lingering_ = lingering_.insert(lingering_.end(), {&relay, setup_.clock->now() + limits::relay_last_bytes});
}

void RelaySet::own(Relay& relay) {
  owned_.insert(&relay);
}

void RelaySet::opened(Relay& relay) {
  ++relay.rule_.flows_opened;
  ++counters_.all.flows_opened;
  if (setup_.observer != nullptr && setup_.observer->wants_records()) setup_.observer->flow_opened(relay.record());
}

void RelaySet::moved(Relay& relay, Relay::Side from, std::size_t bytes) {
  ++counters_.visits;
  turn_left_ -= std::min(turn_left_, bytes);
  (from == Relay::host ? relay.rule_.bytes_to_guest : relay.rule_.bytes_to_host) += bytes;
  (from == Relay::host ? counters_.all.bytes_to_guest : counters_.all.bytes_to_host) += bytes;
}

void RelaySet::ended(Relay& relay, FlowEnd end) {
  if (setup_.observer != nullptr && setup_.observer->wants_records()) setup_.observer->flow_closed(relay.record(), end);
  if (relay.is_open() || relay.start().dialled_by_guest) {
    if (const auto owned = owned_.find(&relay); owned != owned_.end() && *owned == &relay) owned_.erase(owned);
  }
  if (!relay.is_open()) {
    ++relay.rule_.flows_failed;
    ++counters_.all.flows_failed;
  }
  if (relay.ready_at_ >= 0) ready_[static_cast<std::size_t>(relay.ready_at_)] = nullptr;
  if (relay.lingers_) lingering_.erase(relay.lingering_);
  if (end != FlowEnd::closed)
    for (Relay::End& side : relay.ends_)
      if (side.fd) {
        setup_.epoll->forget(side.fd.get());
        reset(std::move(side.fd));
      }
  ++counters_.ends[static_cast<std::size_t>(end)];
  --counters_.all.flows;
  --relay.rule_.flows;
  const std::uint64_t rule = relay.start().rule;
  all_.erase(relay.place_);
  if (const auto found = rules_.find(rule); found->second.gone && found->second.counters.flows == 0) rules_.erase(found);
  // Last: it may wake somebody.
  setup_.fds->give(fds_of_a_flow);
}

}  // namespace nh
