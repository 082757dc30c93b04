// SPDX-License-Identifier: BSD-3-Clause
// Longer than most: a flow, by frames or by a stand-in, is one thing from both sides.
#include "netstack/udp/udp_forward.h"

#include <sys/epoll.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "netstack/frame/datagram_run.h"
#include "netstack/relay/client_address.h"
#include "netstack/udp/rule_counters.h"
#include "netstack/udp/udp_errors.h"
#include "netstack/udp/udp_flow_table.h"
#include "netstack/udp/udp_send_queue.h"
#include "netstack/udp/udp_socket.h"

namespace nh {
namespace {

// Calls `what` with each datagram of a payload that may be several.
template <class What>
void for_each_datagram(const ReceivedDatagram& received, What what) {
  const std::size_t size = received.payload.size();
  const std::size_t step = received.segment == 0 ? size : received.segment;
  std::size_t at = 0;
  do {
    what(received.payload.subspan(at, std::min(step, size - at)));
    at += step;
  } while (at < size);
}

}  // namespace

// Buffers of some MiB, of which only what is touched costs; made with the first listener.
struct UdpForwardBuffers {
  UdpBatch batch;
  DatagramRun run;
  UdpSendQueue queue;
  UdpErrors errors;
  UdpStandInShared shared;

  UdpForwardBuffers(const UdpForwardSetup& setup, UdpSendQueue::Losses& losses)
      : run(*setup.sink, setup.plan.mtu),
        queue(losses),
        errors(*setup.clock, *setup.sink, setup.plan.mtu),
        shared{.epoll = setup.epoll, .stand_ins = setup.stand_ins, .batch = &batch, .queue = &queue} {}
};

struct UdpForward::State final : UdpSendQueue::Losses {
  explicit State(const UdpForwardSetup& given) : setup(given), flows(given.max_flows) {}

  Result<> check(const Destination& destination) const;
  void destinations_changed(Listener& listener) const;
  UdpFlow* open(Listener& listener, const UdpClient& client, Instant now);
  std::optional<FlowEnd> open_stand_in(Listener& listener, UdpFlow& flow);
  void answer(UdpFlow& flow, Bytes payload);
  void forget(UdpFlow& flow, std::uint64_t Counters::*why, FlowEnd end);
  FlowRecord record(const UdpFlow& flow) const;
  void tell_opened(const UdpFlow& flow) {
    if (setup.observer != nullptr) setup.observer->flow_opened(record(flow));
  }
  LinkPath link_to(const Address& guest) const {
    return {AddressPlan::gateway_mac(setup.plan.net(guest.family())->gateway), setup.neighbours->of(guest)};
  }
  void lost(std::uint64_t owner, std::size_t datagrams) override;

  UdpForwardSetup setup;
  FlowIds own_ids;
  std::unordered_set<Address> guest_addresses;
  Counters total;
  RuleCounters rules;
  std::unordered_map<std::uint64_t, std::unique_ptr<Listener>> listeners;
  std::unique_ptr<UdpForwardBuffers> buffers;
  UdpFlowTable flows;  // last: its stand-ins use what stands above
};

struct UdpForward::Listener final : EpollSet::Handler {
  Listener(State& owner, std::uint64_t number, std::uint64_t of_rule, const Destination& to, UdpSocket&& bound)
      : state(owner), id(number), rule(of_rule), destination(to), socket(std::move(bound)) {}
  ~Listener() override {
    if (watched) state.setup.epoll->remove(socket.fd());
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  void on_ready(int, std::uint32_t events) override;
  void carry(const ReceivedDatagram& received, Instant now);
  void take_errors();
  void tell(const SendError& error);
  // Counts for this listener and for all.
  void count(std::uint64_t Counters::*what, std::uint64_t by = 1) {
    counters.*what += by;
    state.total.*what += by;
  }

  State& state;
  std::uint64_t id, rule;
  Destination destination;
  UdpSocket socket;
  Counters counters;
  std::set<Address> destinations;  // that its flows may lead to, earlier ones too
  bool watched = false;
};

// ---- flows ----

UdpFlow* UdpForward::State::open(Listener& listener, const UdpClient& client, Instant now) {
  const Endpoint guest = listener.destination.endpoint(client.remote.address.family());
  const bool by_stand_in = guest.address.is_loopback();
  const Endpoint guest_peer = as_seen_by_guest(client.remote, guest.address.family(), setup.plan, guest_addresses);
  const bool full = by_stand_in && total.stand_ins >= setup.max_stand_ins;
  UdpFlow* const flow = full ? nullptr : flows.open(client, {guest, guest_peer}, now);
  if (flow == nullptr) {
    listener.count(&Counters::dropped_table_full);
    return nullptr;
  }
  flow->id = (setup.ids != nullptr ? *setup.ids : own_ids).next();
  ++listener.counters.flows;
  listener.count(&Counters::flows_opened);
  if (by_stand_in)
    if (const auto failed = open_stand_in(listener, *flow)) {
      forget(*flow, &Counters::without_stand_in, *failed);
      return nullptr;
    }
  if (!flow->stand_in || flow->stand_in->is_open()) tell_opened(*flow);
  return flow;
}

std::optional<FlowEnd> UdpForward::State::open_stand_in(Listener& listener, UdpFlow& flow) {
  listener.count(&Counters::stand_ins);
  UdpStandIn::Events events;
  events.opened = [this, &flow] { tell_opened(flow); };
  events.answer = [this, &flow](Bytes payload) { answer(flow, payload); };
  events.end = [this, &flow](FlowEnd end) {
    const bool refused = flow.stand_in->is_open();
    forget(flow, refused ? &Counters::refused : &Counters::without_stand_in, end);
  };
  flow.stand_in = std::make_unique<UdpStandIn>(buffers->shared, listener.id, std::move(events));
  return flow.stand_in->open(flow.pair.guest_peer, flow.pair.guest);
}

void UdpForward::State::answer(UdpFlow& flow, Bytes payload) {
  flows.used(flow, setup.clock->now(), true);
  Listener& listener = *listeners.at(flow.client.listener);
  // 20 bytes more fit into IPv6; they are carried neither way.
  if (payload.size() > limits::datagram) return listener.count(&Counters::dropped_send);
  flow.bytes_to_host += payload.size();
  listener.count(&Counters::datagrams_to_host);
  listener.count(&Counters::bytes_to_host, payload.size());
  buffers->queue.put(listener.id,
                     {.fd = listener.socket.fd(),
                      .family = listener.socket.family(),
                      .remote = flow.client.remote,
                      .scope = flow.client.scope,
                      .local = flow.client.local},
                     payload);
}

void UdpForward::State::forget(UdpFlow& flow, std::uint64_t Counters::*why, FlowEnd end) {
  Listener& listener = *listeners.at(flow.client.listener);
  listener.count(why);
  if (why == &Counters::refused || why == &Counters::without_stand_in) listener.count(&Counters::flows_failed);
  --listener.counters.flows;
  if (flow.stand_in) {
    --listener.counters.stand_ins;
    --total.stand_ins;
  }
  if (setup.observer != nullptr) setup.observer->flow_closed(record(flow), end);
  flows.forget(flow);
}

FlowRecord UdpForward::State::record(const UdpFlow& flow) const {
  const Listener& listener = *listeners.at(flow.client.listener);
  return {.id = flow.id,
          .rule = listener.rule,
          .transport = Transport::udp,
          .path = flow.stand_in ? FlowPath::relay : FlowPath::frames,
          .direction = FlowDirection::in,
          .open = !flow.stand_in || flow.stand_in->is_open(),
          .host_peer = flow.client.remote,
          .host_local = {flow.client.local, listener.socket.bound().port},
          .guest_peer = flow.pair.guest_peer,
          .guest = flow.pair.guest,
          .opened = flow.opened,
          .bytes_to_guest = flow.bytes_to_guest,
          .bytes_to_host = flow.bytes_to_host};
}

// The queue tells no direction: what is lost there was counted as an answer, but for the few datagrams of stand-ins.
void UdpForward::State::lost(std::uint64_t owner, std::size_t datagrams) {
  const auto found = listeners.find(owner);
  if (found != listeners.end()) found->second->count(&Counters::dropped_send, datagrams);
}

// ---- clients to guest ----

void UdpForward::Listener::on_ready(int, std::uint32_t events) {
  if ((events & EPOLLERR) != 0) take_errors();
  const Instant now = state.setup.clock->now();
  UdpForwardBuffers& buffers = *state.buffers;
  static_assert(limits::udp_batch == UdpBatch::size);
  const std::size_t count = socket.receive(buffers.batch);
  for (std::size_t i = 0; i < count; ++i) carry(socket.datagram(buffers.batch, i), now);
  buffers.run.flush();
  buffers.queue.flush();
}

void UdpForward::Listener::carry(const ReceivedDatagram& received, Instant now) {
  const std::size_t largest = received.segment == 0 ? received.payload.size() : received.segment;
  if (received.remote.port == 0 || largest > limits::datagram) return count(&Counters::dropped_receive);
  const UdpClient client{id, received.remote, received.local, received.scope};
  UdpFlow* flow = state.flows.find(client);
  if (flow == nullptr)
    flow = state.open(*this, client, now);
  else
    state.flows.used(*flow, now, false);
  if (flow == nullptr) return;

  const Endpoint& guest = flow->pair.guest;
  const LinkPath link = flow->stand_in ? LinkPath{} : state.link_to(guest.address);
  for_each_datagram(received, [&](Bytes payload) {
    if (!flow->stand_in)
      state.buffers->run.add(link, flow->pair.guest_peer, guest, payload);
    else if (!flow->stand_in->send(payload))
      return count(&Counters::dropped_waiting);
    flow->bytes_to_guest += payload.size();
    count(&Counters::datagrams_to_guest);
    count(&Counters::bytes_to_guest, payload.size());
  });
}

// ---- errors about answers ----

void UdpForward::Listener::take_errors() {
  for (std::size_t taken = 0; taken < limits::udp_errors; ++taken) {
    const auto error = socket.next_error(state.buffers->batch);
    if (!error) return;
    tell(*error);
  }
}

void UdpForward::Listener::tell(const SendError& error) {
  UdpFlow* const flow = state.flows.find(UdpClient{id, error.remote, error.local, error.scope});
  if (flow == nullptr) return;
  // The guest's kernel answers for a stand-in that is gone just as the client's does for a closed port.
  if (flow->stand_in) {
    if (error.error == ECONNREFUSED) state.forget(*flow, &Counters::refused, FlowEnd::refused);
    return;
  }
  const UdpPair& pair = flow->pair;
  const Address& reporter =
      error.by_remote ? pair.guest_peer.address : state.setup.plan.net(pair.guest.address.family())->gateway;
  const SentDatagram datagram{pair.guest, pair.guest_peer, error.payload};
  const auto told =
      state.buffers->errors.tell(state.link_to(pair.guest.address), datagram, reporter, error.error, error.mtu);
  if (told == UdpErrors::Told::yes) count(&Counters::errors_told);
  if (told == UdpErrors::Told::too_many) count(&Counters::errors_suppressed);
}

// ---- listeners ----

UdpForward::UdpForward(const UdpForwardSetup& setup) : state_(std::make_unique<State>(setup)) {}
UdpForward::~UdpForward() = default;

Result<> UdpForward::State::check(const Destination& destination) const {
  for (const auto& address : {destination.v4, destination.v6}) {
    if (!address) continue;
    const std::string guest = "the guest's " + address->text();
    if (setup.plan.net(address->family()) == nullptr)
      return Error{
          .code = Code::invalid, .what = guest + " cannot be reached: IPv6 is off in the guest", .field = "guest_addr"};
    if (address->is_loopback() && setup.stand_ins == nullptr)
      return Error{.code = Code::unsupported,
                   .what = guest + " cannot be reached: there is no agent to open sockets in the guest",
                   .field = "guest_addr"};
  }
  return Ok{};
}

Result<Endpoint> UdpForward::add(std::uint64_t number, std::uint64_t rule, ListenOn on, const Destination& destination) {
  UniqueFd* const fd = std::get_if<UniqueFd>(&on);
  NH_BUG_IF(fd == nullptr || state_->listeners.contains(number) || (!destination.v4 && !destination.v6));
  NH_TRY(state_->check(destination));
  NH_LET(socket, UdpSocket::adopt(std::move(*fd)));
  const Endpoint bound = socket.bound();
  if (!state_->buffers) state_->buffers = std::make_unique<UdpForwardBuffers>(state_->setup, *state_);
  auto added = std::make_unique<Listener>(*state_, number, rule, destination, std::move(socket));
  NH_TRY(state_->setup.epoll->add(added->socket.fd(), EPOLLIN, *added));
  added->watched = true;
  state_->rules.open(rule, added->counters);
  Listener& listener = *state_->listeners.emplace(number, std::move(added)).first->second;
  state_->destinations_changed(listener);
  return bound;
}

Result<> UdpForward::change(std::uint64_t number, std::uint64_t rule, const Destination& destination) {
  NH_TRY(state_->check(destination));
  const auto found = state_->listeners.find(number);
  if (found == state_->listeners.end()) return Ok{};
  Listener& listener = *found->second;
  state_->rules.move(listener.rule, rule, listener.counters);
  listener.rule = rule;
  listener.destination = destination;
  state_->destinations_changed(listener);
  return Ok{};
}

void UdpForward::remove(std::uint64_t number) {
  const auto found = state_->listeners.find(number);
  if (found == state_->listeners.end()) return;
  state_->buffers->queue.flush();
  state_->flows.for_each([this, number](UdpFlow& flow) {
    if (flow.client.listener == number) state_->forget(flow, &Counters::flows_killed, FlowEnd::killed);
  });
  state_->rules.close(found->second->rule, found->second->counters);
  state_->listeners.erase(found);
  if (state_->setup.on_destinations) state_->setup.on_destinations();
}

void UdpForward::State::destinations_changed(Listener& listener) const {
  const Destination& destination = listener.destination;
  const bool guest_itself =
      destination.v4 == setup.plan.v4.guest && (!setup.plan.v6 || destination.v6 == setup.plan.v6->guest);
  for (const auto& address : {destination.v4, destination.v6})
    if (!guest_itself && address && !address->is_loopback()) listener.destinations.insert(*address);
  if (setup.on_destinations) setup.on_destinations();
}

std::vector<Address> UdpForward::destinations() const {
  std::set<Address> all;
  for (const auto& [number, listener] : state_->listeners)
    all.insert(listener->destinations.begin(), listener->destinations.end());
  return {all.begin(), all.end()};
}

// ---- guest to clients ----

bool UdpForward::take(const Packet& packet) {
  if (!packet.is_udp() || state_->flows.size() == 0) return false;
  UdpFlow* const flow = state_->flows.find(UdpPair{packet.from(), packet.to()});
  if (flow == nullptr || flow->stand_in) return false;
  state_->answer(*flow, packet.payload());
  return true;
}

void UdpForward::flush() {
  if (state_->buffers) state_->buffers->queue.flush();
}

bool UdpForward::take_icmp_error(const Packet& packet) {
  if (!packet.icmp_error || packet.quoted_protocol != protocol::udp) return false;
  UdpFlow* const flow = state_->flows.find(UdpPair{packet.quoted_to, packet.quoted_from});
  if (flow == nullptr || flow->stand_in) return false;
  const bool v4 = packet.protocol == protocol::icmp;
  const std::uint8_t type = v4 ? icmp_type::unreachable : icmpv6_type::unreachable;
  // "Fragmentation needed" says that the packet was too large, not that nobody takes it (RFC 1191 4).
  constexpr std::uint8_t fragmentation_needed = 4;
  const std::uint8_t code = packet.l4()[1];
  if (packet.icmp_type != type || (v4 && code == fragmentation_needed)) return true;
  const std::uint8_t port_unreachable = v4 ? 3 : 4;  // RFC 792, RFC 4443 3.1
  state_->forget(*flow, &Counters::refused, code == port_unreachable ? FlowEnd::refused : FlowEnd::unreachable);
  return true;
}

void UdpForward::set_guest_addresses(const std::vector<Address>& addresses) {
  state_->guest_addresses = std::unordered_set<Address>(addresses.begin(), addresses.end());
}

// ---- time, lists, counters ----

Instant UdpForward::next_deadline() const {
  return state_->flows.next_deadline();
}

void UdpForward::expire() {
  const Instant now = state_->setup.clock->now();
  while (UdpFlow* const flow = state_->flows.idle(now)) state_->forget(*flow, &Counters::flows_expired, FlowEnd::timed_out);
}

std::vector<FlowRecord> UdpForward::flows(const FlowQuery& query) const {
  std::vector<const UdpFlow*> found;
  state_->flows.for_each([&](const UdpFlow& flow) {
    if (flow.id > query.after && (!query.rule || state_->listeners.at(flow.client.listener)->rule == *query.rule))
      found.push_back(&flow);
  });
  const auto end = found.begin() + static_cast<std::ptrdiff_t>(std::min(query.limit, found.size()));
  std::partial_sort(found.begin(), end, found.end(), [](const UdpFlow* a, const UdpFlow* b) { return a->id < b->id; });
  std::vector<FlowRecord> records;
  std::transform(found.begin(), end, std::back_inserter(records),
                 [this](const UdpFlow* flow) { return state_->record(*flow); });
  return records;
}

bool UdpForward::kill(std::uint64_t flow) {
  UdpFlow* found = nullptr;
  state_->flows.for_each([&](UdpFlow& each) {
    if (each.id == flow) found = &each;
  });
  if (found != nullptr) state_->forget(*found, &Counters::flows_killed, FlowEnd::killed);
  return found != nullptr;
}

UdpForward::Counters UdpForward::counters() const {
  Counters all = state_->total;
  all.flows = state_->flows.size();
  return all;
}

FlowCounters UdpForward::of_rule(std::uint64_t rule) const {
  return state_->rules.of(rule);
}

void UdpForward::forget_rule(std::uint64_t rule) {
  state_->rules.forget(rule);
}

}  // namespace nh
