// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/udp/udp_reverse.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <list>
#include <map>
#include <unordered_map>

#include "netstack/udp/rule_counters.h"

namespace nh {
namespace {

constexpr std::size_t buffer_size = 65536;  // beyond any datagram, so that none is cut

Result<UniqueFd> connected_socket(const Endpoint& service) {
  UniqueFd fd(socket(service.address.is_v6() ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const SockAddr address(service);
  if (!fd || connect(fd.get(), address.get(), address.length) != 0) return sys_error("reaching " + service.text() + "/udp");
  return fd;
}

}  // namespace

struct UdpReverse::State {
  struct Listener;
  struct Flow;
  using Order = std::list<Flow*>;  // by last use, the oldest first

  explicit State(const UdpReverseSetup& given)
      : setup(given), buffer(std::make_unique_for_overwrite<std::uint8_t[]>(buffer_size)) {}
  Order& order_of(const Flow& flow);
  void end(Flow& flow, FlowEnd why);

  UdpReverseSetup setup;
  std::unique_ptr<std::uint8_t[]> buffer;
  RuleCounters rules;
  std::unordered_map<std::uint64_t, std::unique_ptr<Listener>> listeners;
  std::map<std::uint64_t, std::unique_ptr<Flow>> flows;  // by id
  Order unanswered, answered;
  std::uint64_t dropped = 0;
};

struct UdpReverse::State::Flow final : EpollSet::Handler {
  Flow(Listener& from, FlowRecord what, const SockAddr& name, UniqueFd socket)
      : listener(from), record(std::move(what)), client(name), fd(std::move(socket)) {}
  ~Flow() override;
  Flow(const Flow&) = delete;
  Flow& operator=(const Flow&) = delete;
  void on_ready(int, std::uint32_t) override;
  void used(bool answer);

  Listener& listener;
  FlowRecord record;
  SockAddr client;
  UniqueFd fd;
  bool watched = false, was_answered = false;
  Instant last_used{};
  Order::iterator place{};
};

struct UdpReverse::State::Listener final : EpollSet::Handler {
  Listener(State& owner, std::uint64_t of, UniqueFd socket, const Endpoint& to)
      : state(owner), rule(of), fd(std::move(socket)), service(to) {}
  ~Listener() override {
    if (watched) state.setup.epoll->remove(fd.get());
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  void on_ready(int, std::uint32_t) override;
  Flow* open(const Endpoint& client, const SockAddr& name);

  State& state;
  std::uint64_t rule;
  UniqueFd fd;
  Endpoint service;
  bool watched = false;
  FlowCounters counters;
  std::unordered_map<Endpoint, Flow*> by_client;
};

UdpReverse::State::Flow::~Flow() {
  if (watched) listener.state.setup.epoll->remove(fd.get());
}

UdpReverse::State::Order& UdpReverse::State::order_of(const Flow& flow) {
  return flow.was_answered ? answered : unanswered;
}

void UdpReverse::State::Flow::used(bool answer) {
  State& state = listener.state;
  Order& from = state.order_of(*this);
  was_answered = was_answered || answer;
  last_used = state.setup.clock->now();
  Order& to = state.order_of(*this);
  to.splice(to.end(), from, place);
}

void UdpReverse::State::Flow::on_ready(int, std::uint32_t) {
  State& state = listener.state;
  for (std::size_t i = 0; i < limits::udp_batch; ++i) {
    const ssize_t size = recv(fd.get(), state.buffer.get(), buffer_size, MSG_DONTWAIT);
    if (size < 0) {
      // An ICMP error came for what was sent: the service is not there (any longer), but may come back.
      if (errno == EINTR || errno == ECONNREFUSED || errno == EHOSTUNREACH || errno == ENETUNREACH) continue;
      return;
    }
    used(true);
    if (sendto(listener.fd.get(), state.buffer.get(), static_cast<std::size_t>(size), MSG_DONTWAIT | MSG_NOSIGNAL,
               client.get(), client.length) != size) {
      ++state.dropped;
      continue;
    }
    record.bytes_to_guest += static_cast<std::uint64_t>(size);
    listener.counters.bytes_to_guest += static_cast<std::uint64_t>(size);
  }
}

UdpReverse::State::Flow* UdpReverse::State::Listener::open(const Endpoint& client, const SockAddr& name) {
  if (state.flows.size() >= state.setup.max_flows) return nullptr;
  auto socket = connected_socket(service);
  if (!socket) return nullptr;
  const Instant now = state.setup.clock->now();
  FlowRecord record{.id = state.setup.ids->next(),
                    .rule = rule,
                    .transport = Transport::udp,
                    .path = FlowPath::relay,
                    .direction = FlowDirection::out,
                    .host_peer = service,
                    .host_local = bound_endpoint(socket->get()),
                    .guest_peer = bound_endpoint(fd.get()),
                    .guest = client,
                    .opened = now};
  auto made = std::make_unique<Flow>(*this, record, name, std::move(*socket));
  if (!state.setup.epoll->add(made->fd.get(), EPOLLIN, *made)) return nullptr;
  made->watched = true;
  made->last_used = now;
  made->place = state.unanswered.insert(state.unanswered.end(), made.get());
  by_client.emplace(client, made.get());
  ++counters.flows;
  ++counters.flows_opened;
  if (state.setup.observer != nullptr) state.setup.observer->flow_opened(made->record);
  return state.flows.emplace(record.id, std::move(made)).first->second.get();
}

void UdpReverse::State::Listener::on_ready(int, std::uint32_t) {
  for (std::size_t i = 0; i < limits::udp_batch; ++i) {
    SockAddr name;
    const ssize_t size = recvfrom(fd.get(), state.buffer.get(), buffer_size, MSG_DONTWAIT, name.get(), &name.length);
    if (size < 0) {
      if (errno == EINTR) continue;
      return;
    }
    const auto client = name.endpoint();
    if (!client || client->port == 0) {
      ++state.dropped;
      continue;
    }
    const auto found = by_client.find(*client);
    Flow* const flow = found != by_client.end() ? found->second : open(*client, name);
    if (flow == nullptr) {
      ++counters.flows_failed;
      continue;
    }
    flow->used(false);
    ssize_t sent = -1;
    // An error of an earlier datagram is told here once, and then no longer.
    for (int attempt = 0; attempt < 2 && sent < 0; ++attempt)
      sent = send(flow->fd.get(), state.buffer.get(), static_cast<std::size_t>(size), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent != size) {
      ++state.dropped;
      continue;
    }
    flow->record.bytes_to_host += static_cast<std::uint64_t>(size);
    counters.bytes_to_host += static_cast<std::uint64_t>(size);
  }
}

void UdpReverse::State::end(Flow& flow, FlowEnd why) {
  if (setup.observer != nullptr) setup.observer->flow_closed(flow.record, why);
  --flow.listener.counters.flows;
  flow.listener.by_client.erase(flow.record.guest);
  order_of(flow).erase(flow.place);
  flows.erase(flow.record.id);
}

UdpReverse::UdpReverse(const UdpReverseSetup& setup) : state_(std::make_unique<State>(setup)) {}

UdpReverse::~UdpReverse() {
  state_->flows.clear();
}

Result<Endpoint> UdpReverse::add(std::uint64_t number, std::uint64_t rule, ListenOn on, const Destination& destination) {
  UniqueFd* const socket = std::get_if<UniqueFd>(&on);
  NH_BUG_IF(socket == nullptr || state_->listeners.contains(number));
  const Endpoint bound = bound_endpoint(socket->get());
  auto added = std::make_unique<State::Listener>(*state_, rule, std::move(*socket), destination.host_endpoint());
  NH_TRY(state_->setup.epoll->add(added->fd.get(), EPOLLIN, *added));
  added->watched = true;
  state_->rules.open(rule, added->counters);
  state_->listeners.emplace(number, std::move(added));
  return bound;
}

Result<> UdpReverse::change(std::uint64_t number, std::uint64_t rule, const Destination& destination) {
  const auto found = state_->listeners.find(number);
  if (found == state_->listeners.end()) return Ok{};
  State::Listener& listener = *found->second;
  state_->rules.move(listener.rule, rule, listener.counters);
  listener.rule = rule;
  listener.service = destination.host_endpoint();
  return Ok{};
}

void UdpReverse::remove(std::uint64_t number) {
  const auto found = state_->listeners.find(number);
  if (found == state_->listeners.end()) return;
  while (!found->second->by_client.empty()) state_->end(*found->second->by_client.begin()->second, FlowEnd::killed);
  state_->rules.close(found->second->rule, found->second->counters);
  state_->listeners.erase(found);
}

Instant UdpReverse::next_deadline() const {
  Instant first = Instant::max();
  if (!state_->unanswered.empty()) first = state_->unanswered.front()->last_used + limits::udp_idle_unanswered;
  if (!state_->answered.empty()) first = std::min(first, state_->answered.front()->last_used + limits::udp_idle_answered);
  return first;
}

void UdpReverse::expire() {
  const Instant now = state_->setup.clock->now();
  while (!state_->unanswered.empty() && state_->unanswered.front()->last_used + limits::udp_idle_unanswered <= now)
    state_->end(*state_->unanswered.front(), FlowEnd::timed_out);
  while (!state_->answered.empty() && state_->answered.front()->last_used + limits::udp_idle_answered <= now)
    state_->end(*state_->answered.front(), FlowEnd::timed_out);
}

FlowCounters UdpReverse::of_rule(std::uint64_t rule) const {
  return state_->rules.of(rule);
}

void UdpReverse::forget_rule(std::uint64_t rule) {
  state_->rules.forget(rule);
}

std::uint64_t UdpReverse::dropped() const {
  return state_->dropped;
}

std::vector<FlowRecord> UdpReverse::flows(const FlowQuery& query) const {
  std::vector<FlowRecord> records;
  for (auto flow = state_->flows.upper_bound(query.after); flow != state_->flows.end() && records.size() < query.limit;
       ++flow)
    if (!query.rule || flow->second->record.rule == *query.rule) records.push_back(flow->second->record);
  return records;
}

bool UdpReverse::kill(std::uint64_t flow) {
  const auto found = state_->flows.find(flow);
  if (found == state_->flows.end()) return false;
  state_->end(*found->second, FlowEnd::killed);
  return true;
}

}  // namespace nh
