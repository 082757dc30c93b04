// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/udp_forward.h"

#include <sys/epoll.h>

#include <unordered_map>
#include <unordered_set>

#include "netstack/frame/builder.h"
#include "netstack/relay/client_address.h"
#include "netstack/relay/udp_flow_table.h"
#include "netstack/relay/udp_socket.h"

namespace nh {

struct UdpForward::State {
  UdpForwardSetup setup;
  UdpFlowTable flows;
  std::unordered_set<Address> guest_addresses;
  std::unordered_map<std::uint64_t, std::unique_ptr<Rule>> rules;
  std::unique_ptr<UdpBatch> batch;  // made with the first rule
  Counters total;

  explicit State(const UdpForwardSetup& given) : setup(given), flows(given.max_flows) {}
  void forget(UdpFlow& flow, std::uint64_t Counters::*why);
};

struct UdpForward::Rule final : EpollSet::Handler {
  Rule(State& owner, std::uint64_t number, const ForwardSpec& what, UdpSocket&& bound)
      : state(owner), id(number), spec(what), socket(std::move(bound)) {}
  ~Rule() override {
    if (watched) state.setup.epoll->remove(socket.fd());
  }
  Rule(const Rule&) = delete;
  Rule& operator=(const Rule&) = delete;

  void on_ready(int, std::uint32_t events) override;
  void carry(const ReceivedDatagram& datagram, Instant now);
  Endpoint guest_endpoint(Family client) const;
  // Counts for this rule and for all.
  void count(std::uint64_t Counters::*what, std::uint64_t by = 1) {
    counters.*what += by;
    state.total.*what += by;
  }

  State& state;
  std::uint64_t id;
  ForwardSpec spec;
  UdpSocket socket;
  Counters counters;
  bool watched = false;
};

void UdpForward::State::forget(UdpFlow& flow, std::uint64_t Counters::*why) {
  rules.at(flow.client.rule)->count(why);
  --rules.at(flow.client.rule)->counters.flows;
  flows.forget(flow);
}

Endpoint UdpForward::Rule::guest_endpoint(Family client) const {
  if (spec.guest_address) return {*spec.guest_address, spec.guest_port.value()};
  const AddressPlan::Net* net = state.setup.plan.net(client);
  return {net != nullptr ? net->guest : state.setup.plan.v4.guest, spec.guest_port.value()};
}

void UdpForward::Rule::on_ready(int, std::uint32_t) {
  const Instant now = state.setup.clock->now();
  std::size_t count = UdpBatch::size;
  for (std::size_t taken = 0; taken < limits::udp_batch && count == UdpBatch::size;
       taken += count) {
    count = socket.receive(*state.batch);
    for (std::size_t i = 0; i < count; ++i) carry(socket.datagram(*state.batch, i), now);
  }
}

void UdpForward::Rule::carry(const ReceivedDatagram& datagram, Instant now) {
  if (datagram.remote.port == 0 || datagram.payload.size() > limits::datagram)
    return count(&Counters::dropped_receive);
  const UdpClient client{id, datagram.remote, datagram.local, datagram.scope};
  UdpFlow* flow = state.flows.find(client);
  if (flow == nullptr) {
    const Endpoint guest = guest_endpoint(datagram.remote.address.family());
    const Endpoint appears = as_seen_by_guest(datagram.remote, guest.address.family(),
                                              state.setup.plan, state.guest_addresses);
    flow = state.flows.open(client, {guest, appears}, now);
    if (flow == nullptr) return count(&Counters::dropped_table_full);
    ++counters.flows;
    count(&Counters::flows_opened);
  } else {
    state.flows.used(*flow, now, false);
  }
  const Endpoint& guest = flow->pair.guest;
  const LinkPath link{
      AddressPlan::gateway_mac(state.setup.plan.net(guest.address.family())->gateway),
      state.setup.neighbours->of(guest.address)};
  count(&Counters::datagrams_to_guest);
  count(&Counters::bytes_to_guest, datagram.payload.size());
  send_udp(*state.setup.sink, link, flow->pair.appears, guest, datagram.payload,
           state.setup.plan.mtu);
}

UdpForward::UdpForward(const UdpForwardSetup& setup) : state_(std::make_unique<State>(setup)) {}
UdpForward::~UdpForward() = default;

Result<Endpoint> UdpForward::add(std::uint64_t rule, const ForwardSpec& spec) {
  NH_BUG_IF(spec.transport != Transport::udp || state_->rules.contains(rule));
  NH_TRY(spec.check());
  if (spec.guest_address && state_->setup.plan.net(spec.guest_address->family()) == nullptr)
    return Error{.code = Code::invalid,
                 .what = "guest_address " + spec.guest_address->text() +
                         " cannot be reached: IPv6 is off in the guest",
                 .field = "guest_address"};
  NH_LET(socket, UdpSocket::bind({spec.host_address, spec.host_port}));
  const Endpoint bound = socket.bound();
  if (!state_->batch) state_->batch = std::make_unique<UdpBatch>();
  auto added = std::make_unique<Rule>(*state_, rule, spec, std::move(socket));
  NH_TRY(state_->setup.epoll->add(added->socket.fd(), EPOLLIN, *added));
  added->watched = true;
  state_->rules.emplace(rule, std::move(added));
  return bound;
}

void UdpForward::remove(std::uint64_t rule) {
  state_->flows.forget_rule(rule);
  state_->rules.erase(rule);
}

bool UdpForward::take(const Packet& packet) {
  if (!packet.is_udp() || state_->flows.size() == 0) return false;
  UdpFlow* const flow = state_->flows.find(UdpPair{packet.from(), packet.to()});
  if (flow == nullptr) return false;
  state_->flows.used(*flow, state_->setup.clock->now(), true);
  Rule& rule = *state_->rules.at(flow->client.rule);
  const Bytes payload = packet.payload();
  if (rule.socket.send(flow->client.remote, flow->client.scope, flow->client.local, payload)) {
    rule.count(&Counters::datagrams_to_clients);
    rule.count(&Counters::bytes_to_clients, payload.size());
  } else {
    rule.count(&Counters::dropped_send);
  }
  return true;
}

bool UdpForward::take_icmp_error(const Packet& packet) {
  if (!packet.icmp_error || packet.quoted_protocol != protocol::udp) return false;
  UdpFlow* const flow = state_->flows.find(UdpPair{packet.quoted_to, packet.quoted_from});
  if (flow == nullptr) return false;
  // "Fragmentation needed" says that the packet was too large, not that nobody takes it (RFC 1191
  // 4).
  constexpr std::uint8_t fragmentation_needed = 4;
  const std::uint8_t code = packet.l4()[1];
  const bool unreachable =
      packet.protocol == protocol::icmp
          ? packet.icmp_type == icmp_type::unreachable && code != fragmentation_needed
          : packet.icmp_type == icmpv6_type::unreachable;
  if (unreachable) state_->forget(*flow, &Counters::refused);
  return true;
}

void UdpForward::set_guest_addresses(const std::vector<Address>& addresses) {
  state_->guest_addresses = std::unordered_set<Address>(addresses.begin(), addresses.end());
}

Instant UdpForward::next_deadline() const {
  return state_->flows.next_deadline();
}

void UdpForward::expire() {
  const Instant now = state_->setup.clock->now();
  while (UdpFlow* const flow = state_->flows.idle(now))
    state_->forget(*flow, &Counters::flows_expired);
}

UdpForward::Counters UdpForward::counters() const {
  Counters all = state_->total;
  all.flows = state_->flows.size();
  return all;
}

UdpForward::Counters UdpForward::of(std::uint64_t rule) const {
  const auto found = state_->rules.find(rule);
  return found == state_->rules.end() ? Counters{} : found->second->counters;
}

}  // namespace nh
