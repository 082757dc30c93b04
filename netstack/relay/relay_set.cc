// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/relay_set.h"

#include <netinet/tcp.h>

#include <algorithm>
#include <utility>

#include "netstack/relay/stream_socket.h"

namespace nh {
namespace {

constexpr std::size_t fds_of_a_flow = 2;

/// Of each loop: those of the threads, and the set's own.
PumpStore::Share share(unsigned threads) {
  return {.pipes = limits::relay_pipes / (threads + 1), .held = limits::relay_held / (threads + 1)};
}

}  // namespace

std::size_t RelaySet::PairHash::operator()(const Pair& pair) const noexcept {
  return KeyedHash()(pair);
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
      loop_({.epoll = setup.epoll, .clock = setup.clock, .fds = setup.fds, .share = share(setup.threads)}),
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
  if (!threads_.list().empty()) loop_.set_offload_threshold(setup_.offload_threshold);
  return started;
}

std::vector<std::size_t> RelaySet::thread_flows() const {
  std::vector<std::size_t> flows;
  for (const RelayThreads::Entry& entry : threads_.list()) flows.push_back(entry.flows);
  return flows;
}

void RelaySet::mover_to_offload(Mover& mover) {
  mover.leave(false);
  flow_of(mover.relay()).thread = static_cast<std::uint8_t>(threads_.take(mover));
}

void RelaySet::mover_returned(Mover& mover, std::optional<FlowEnd> end) {
  Flow& flow = flow_of(mover.relay());
  // It has ended by itself, but the thread has not answered drop() yet: the answer is the last of it.
  if (end && flow.pending_close) return;
  threads_.count_left(*std::exchange(flow.thread, std::nullopt));
  close(flow, flow.pending_close ? *flow.pending_close : *end);
}

void RelaySet::end(Flow& flow, FlowEnd why) {
  if (!flow.thread) return flow.Relay::end(why);
  if (flow.pending_close) return;
  flow.pending_close = why;
  free_addresses(flow);
  threads_.drop(*flow.thread, flow.mover());
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

Relay* RelaySet::begin(const Relay::Start& start, Relay::Side side, UniqueFd socket, Relay::Waiter* waiter,
                       Relay::First first) {
  NH_BUG_IF(reserved_ == 0);
  Rule& rule = rules_[start.rule];
  const Relay::Context context{.owner = this, .loop = &loop_, .mover_owner = this, .rule = &rule.bytes, .waiter = waiter};
  Flow& flow = all_.emplace_back(context, setup_.ids->next(), start, setup_.clock->now(), rule);
  --reserved_;
  flow.place = std::prev(all_.end());
  if (start.dialled_by_guest) by_addresses_.insert(&flow);
  ++rule.flows.flows;
  ++flows_.flows;
  if (flow.begin(side, std::move(socket), first)) return &flow;
  close(flow, FlowEnd::exhausted);
  return nullptr;
}

Relay* RelaySet::find(const Endpoint& guest, const Endpoint& guest_peer) const {
  const auto found = by_addresses_.find(Pair{guest, guest_peer});
  return found == by_addresses_.end() ? nullptr : *found;
}

bool RelaySet::challenge(Relay& relay) {
  Flow& flow = flow_of(relay);
  const int stand_in = flow.mover().fd(Relay::guest);
  if (stand_in < 0) return false;
  const int state = tcp_state(stand_in);
  if (state == TCP_CLOSE || state == TCP_SYN_SENT || state == TCP_SYN_RECV) return false;
  if (flow.challenged_until != Instant{}) return true;
  set_probe_idle(stand_in, std::chrono::seconds(1));
  flow.challenged_until = setup_.clock->now() + challenge_time;
  challenged_.emplace(flow.challenged_until, &flow);
  return true;
}

void RelaySet::end_challenge(Flow& flow) {
  if (flow.challenged_until == Instant{}) return;
  challenged_.erase({std::exchange(flow.challenged_until, Instant{}), &flow});
}

void RelaySet::supersede(Relay& relay) {
  if (!relay.is_open()) return relay.end(FlowEnd::reset_by_guest);
  free_addresses(flow_of(relay));
}

Instant RelaySet::next_deadline() const {
  return std::min(loop_.next_deadline(), challenged_.empty() ? Instant::max() : challenged_.begin()->first);
}

void RelaySet::run() {
  loop_.run();
  if (challenged_.empty()) return;
  const Instant now = setup_.clock->now();
  while (!challenged_.empty() && challenged_.begin()->first <= now) {
    Flow& flow = *challenged_.begin()->second;
    end_challenge(flow);
    set_probe_idle(flow.mover().fd(Relay::guest), limits::relay_probe_idle);
  }
}

std::vector<FlowRecord> RelaySet::list(std::uint64_t after, std::size_t limit, std::optional<std::uint64_t> rule) const {
  std::vector<FlowRecord> found;
  for (const Flow& flow : all_) {
    if (found.size() >= limit) break;
    if (flow.id() > after && !flow.pending_close && (!rule || *rule == flow.start().rule)) found.push_back(flow.record());
  }
  return found;
}

bool RelaySet::kill(std::uint64_t id) {
  const auto found = std::find_if(all_.begin(), all_.end(), [id](const Flow& flow) { return flow.id() == id; });
  if (found == all_.end() || found->pending_close) return false;
  end(*found, FlowEnd::killed);
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

FlowCounters RelaySet::of(std::uint64_t number) const {
  const auto found = rules_.find(number);
  if (found == rules_.end()) return {};
  FlowCounters counters = found->second.flows;
  counters.bytes_to_guest = found->second.bytes.to_guest.load(std::memory_order_relaxed);
  counters.bytes_to_host = found->second.bytes.to_host.load(std::memory_order_relaxed);
  return counters;
}

void RelaySet::forget_rule(std::uint64_t rule) {
  const auto found = rules_.find(rule);
  if (found == rules_.end()) return;
  found->second.removed = true;
  if (found->second.flows.flows == 0) rules_.erase(found);
}

void RelaySet::free_addresses(Flow& flow) {
  const auto found = by_addresses_.find(&flow);
  if (found != by_addresses_.end() && *found == &flow) by_addresses_.erase(found);
}

void RelaySet::relay_open(Relay& relay) {
  Flow& flow = flow_of(relay);
  // That of a relay that the guest dialled was known from the start.
  if (flow.start().stand_in && !flow.start().dialled_by_guest) by_addresses_.insert(&flow);
  ++flow.rule.flows.flows_opened;
  ++flows_.flows_opened;
  if (setup_.observer != nullptr && setup_.observer->wants_records()) setup_.observer->flow_opened(flow.record());
}

void RelaySet::close(Flow& flow, FlowEnd end) {
  if (setup_.observer != nullptr && setup_.observer->wants_records()) setup_.observer->flow_closed(flow.record(), end);
  free_addresses(flow);
  end_challenge(flow);
  if (!flow.is_open()) {
    ++flow.rule.flows.flows_failed;
    ++flows_.flows_failed;
  }
  if (end != FlowEnd::closed) flow.mover().reset_sockets();
  ++ends_[static_cast<std::size_t>(end)];
  --flows_.flows;
  --flow.rule.flows.flows;
  const std::uint64_t rule = flow.start().rule;
  all_.erase(flow.place);
  if (const auto found = rules_.find(rule); found->second.removed && found->second.flows.flows == 0) rules_.erase(found);
  // Last: it may wake somebody.
  setup_.fds->give(fds_of_a_flow);
}

}  // namespace nh
