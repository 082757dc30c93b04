// SPDX-License-Identifier: BSD-3-Clause
#include "src/forward/forward_engine.h"

#include <algorithm>

#include "netstack/tcp/outbound_tcp.h"
#include "src/base/limits.h"
#include "src/base/log.h"

namespace nh {
namespace {

/// Descriptors that UDP may take apart from its listeners, which count as forwards.
std::size_t udp_fds(std::uint64_t nofile) {
  return std::min<std::size_t>(limits::udp_stand_ins + limits::udp_reverse_flows, nofile / 16);
}

/// What forwards lack, in words for `info` and the log; empty: nothing.
std::string note_of(const KernelPathState& state) {
  const bool off = state.phase == KernelPathState::Phase::off;
  return (off ? "TCP forwards take the general path: " : "") + state.forwards_reason();
}

/// Blank stand-ins of one family; what is asked for beyond a full stock has a client whose flow took its descriptors.
std::size_t full_stock(std::uint64_t nofile) {
  return std::min<std::size_t>(limits::stand_in_stock, nofile / 32);
}

}  // namespace

ForwardEngine::ForwardEngine(Setup setup)
    : setup_(std::move(setup)),
      events_(setup_.loop->clock()),
      fds_(FdBudget::capacity_for(setup_.nofile, setup_.general_fds + udp_fds(setup_.nofile) +
                                                     (setup_.agent == nullptr ? 0 : 2 * full_stock(setup_.nofile)))),
      stand_ins_(setup_.agent == nullptr ? nullptr
                                         : std::make_unique<AgentStandIns>(*setup_.loop, *setup_.agent, *setup_.path,
                                                                           full_stock(setup_.nofile))),
      relays_(RelaySetup{.epoll = setup_.epoll,
                         .clock = &setup_.loop->clock(),
                         .fds = &fds_,
                         .ids = &ids_,
                         .observer = this,
                         .threads = setup_.agent == nullptr || !setup_.use_relays ? 0 : setup_.relay_threads}),
      udp_(UdpForwardSetup{.epoll = setup_.epoll,
                           .clock = &setup_.loop->clock(),
                           .sink = setup_.sink,
                           .neighbours = setup_.neighbours,
                           .plan = setup_.plan,
                           .max_stand_ins = udp_fds(setup_.nofile) / 2,
                           .stand_ins = stand_ins_.get(),
                           .ids = &ids_,
                           .observer = this,
                           .on_destinations =
                               [this] {
                                 if (setup_.on_udp_destinations) setup_.on_udp_destinations(udp_.destinations());
                               }}),
      udp_reverse_(UdpReverseSetup{.epoll = setup_.epoll,
                                   .clock = &setup_.loop->clock(),
                                   .ids = &ids_,
                                   .observer = this,
                                   .max_flows = udp_fds(setup_.nofile) / 2}),
      slirp_(*setup_.slirp),
      rules_([this] {
        if (stand_ins_)
          tcp_.emplace(TcpForwardSetup{.epoll = setup_.epoll,
                                       .clock = &setup_.loop->clock(),
                                       .fds = &fds_,
                                       .relays = &relays_,
                                       .stand_ins = stand_ins_.get(),
                                       .path = setup_.path,
                                       .plan = setup_.plan});
        RuleTableSetup table{.rules = {.plan = setup_.plan, .to_loopback = setup_.to_loopback},
                             .listeners = {.fds = &fds_,
                                           .general = &slirp_,
                                           .datagrams = &udp_,
                                           .reverse_datagrams = &udp_reverse_,
                                           .relays = tcp_ ? &*tcp_ : nullptr,
                                           .stand_ins = stand_ins_.get(),
                                           .path = setup_.path,
                                           .inherited = setup_.inherited},
                             .events = &events_};
        if (stand_ins_) {
          table.listeners.loopback_wanted = [this] { stand_ins_->allow_guest_loopback(); };
          table.follow_ports = [this](bool on) { follow_ports(on); };
        }
        return table;
      }()) {
  if (!stand_ins_) {
    setup_.path->set({.phase = KernelPathState::Phase::off, .off_reason = "the guest's namespace cannot be entered"});
  } else if (!setup_.use_relays) {
    setup_.path->set({.phase = KernelPathState::Phase::off, .off_reason = "--kernel-path=off"});
  }
  Loop& loop = *setup_.loop;
  relay_deadline_ = loop.deadline([this] { return relays_.next_deadline(); }, [this] { relays_.run(); });
  udp_deadline_ = loop.deadline([this] { return udp_.next_deadline(); }, [this] { udp_.expire(); });
  udp_reverse_deadline_ = loop.deadline([this] { return udp_reverse_.next_deadline(); }, [this] { udp_reverse_.expire(); });
  fds_.on_limit([this](bool reached) { on_fd_limit(reached); });
  if (!stand_ins_) return;
  accept_deadline_ = loop.deadline([this] { return tcp_->next_deadline(); }, [this] { tcp_->expire(); });
  told_of_path_ = setup_.path->subscribe(
      [this](const KernelPathState& before, const KernelPathState& now) { on_path_change(before, now); });
}

ForwardEngine::~ForwardEngine() {
  told_of_path_ = {};
  setup_.on_udp_destinations = nullptr;
  rules_.clear();
}

void ForwardEngine::set_guest_addresses(const std::vector<Address>& addresses) {
  if (tcp_) tcp_->set_guest_addresses(addresses);
}

void ForwardEngine::confined() {
  if (tcp_) tcp_->confined();
  rules_.confined();
}

Result<> ForwardEngine::start_threads() {
  return relays_.start_threads();
}

void ForwardEngine::prepare_guest() {
  if (!stand_ins_ || !setup_.use_relays || std::exchange(prepared_, true)) return;
  stand_ins_->start({.v4 = OutboundTcp::proof_address(setup_.plan, Family::v4),
                     .v6 = OutboundTcp::proof_address(setup_.plan, Family::v6)});
}

void ForwardEngine::follow_ports(bool on) {
  if (!on) return setup_.agent->follow_ports(nullptr);
  setup_.agent->follow_ports([this](const ListenerList& list) {
    std::vector<GuestPort> ports;
    ports.reserve(list.listeners.size());
    for (const GuestListener& listener : list.listeners)
      ports.push_back({.transport = listener.udp ? Transport::udp : Transport::tcp, .at = listener.at});
    rules_.guest_listens(std::move(ports));
  });
}

void ForwardEngine::publish(const Event& event) {
  if (events_.wanted()) events_.publish(event);
}

void ForwardEngine::flow_opened(const FlowRecord& flow) {
  if (flow.transport == Transport::udp) ++udp_opened_;
  publish(FlowOpened{flow});
}

void ForwardEngine::flow_closed(const FlowRecord& flow, FlowEnd end) {
  if (flow.transport == Transport::udp) ++udp_ended_[static_cast<std::size_t>(end)];
  publish(FlowClosed{flow, end});
}

void ForwardEngine::on_path_change(const KernelPathState& before, const KernelPathState& now) {
  const std::string note = note_of(now);
  if (!note.empty() && note != note_of(before)) log::warning(note);
  rules_.path_changed(before, now);
}

void ForwardEngine::on_fd_limit(bool reached) {
  if (!reached) return;
  log::rate_limited(log::Level::warning, "relay fds",
                    "no file descriptor is left for relays: new clients wait until one is (" +
                        std::to_string(fds_.capacity()) + " of RLIMIT_NOFILE are for them)");
  publish(LimitReached{.limit = "relay_fds", .value = fds_.capacity()});
}

void ForwardEngine::add_to(HelperInfo& info) const {
  if (std::string note = note_of(setup_.path->now()); !note.empty()) info.notes.push_back(std::move(note));
  info.limits.emplace_back("relays", std::min(limits::relay_flows, RelaySet::allowed(fds_.capacity())));
  info.limits.emplace_back("relay_fds", fds_.capacity());
  info.limits.emplace_back("udp_forward_flows", limits::udp_forward_flows);
  info.limits.emplace_back("forwards", limits::forwards);

  const RelaySet::Counters& relays = relays_.counters();
  HelperInfo::Numbers& numbers = info.counters;
  numbers.emplace_back("relays.flows", relays.all.flows);
  numbers.emplace_back("relays.flows_opened", relays.all.flows_opened);
  numbers.emplace_back("relays.flows_failed", relays.all.flows_failed);
  numbers.emplace_back("relays.bytes_to_guest", relays.all.bytes_to_guest);
  numbers.emplace_back("relays.bytes_to_host", relays.all.bytes_to_host);
  numbers.emplace_back("relays.fds", fds_.used());
  numbers.emplace_back("relays.turns", relays.turns);
  numbers.emplace_back("relays.visits", relays.visits);
  const std::vector<std::size_t> threads = relays_.thread_flows();
  numbers.emplace_back("relays.threads", threads.size());
  for (std::size_t i = 0; i < threads.size(); ++i)
    numbers.emplace_back("relays.thread_flows." + std::to_string(i), threads[i]);
  if (tcp_) {
    numbers.emplace_back("relays.accepted", tcp_->counters().accepted);
    numbers.emplace_back("relays.aborted", tcp_->counters().aborted);
    numbers.emplace_back("relays.pauses", tcp_->counters().pauses);
    numbers.emplace_back("stand_ins.opened", stand_ins_->counters().opened);
    numbers.emplace_back("stand_ins.port_let_go", stand_ins_->counters().port_let_go);
    numbers.emplace_back("stand_ins.failed", stand_ins_->counters().failed);
  }
  const UdpForward::Counters udp = udp_.counters();
  numbers.emplace_back("udp_forwards.datagrams_to_guest", udp.datagrams_to_guest);
  numbers.emplace_back("udp_forwards.bytes_to_guest", udp.bytes_to_guest);
  numbers.emplace_back("udp_forwards.datagrams_to_clients", udp.datagrams_to_host);
  numbers.emplace_back("udp_forwards.bytes_to_clients", udp.bytes_to_host);
  numbers.emplace_back("udp_forwards.flows", udp.flows);
  numbers.emplace_back("udp_forwards.stand_ins", udp.stand_ins);
  numbers.emplace_back("udp_forwards.flows_opened", udp.flows_opened);
  numbers.emplace_back("udp_forwards.flows_expired", udp.flows_expired);
  numbers.emplace_back("udp_forwards.flows_killed", udp.flows_killed);
  numbers.emplace_back("udp_forwards.flows_failed", udp.without_stand_in);
  numbers.emplace_back("udp_forwards.refused", udp.refused);
  numbers.emplace_back("udp_forwards.errors_told", udp.errors_told);
  numbers.emplace_back("udp_forwards.errors_suppressed", udp.errors_suppressed);
  numbers.emplace_back("udp_forwards.dropped_table_full", udp.dropped_table_full);
  numbers.emplace_back("udp_forwards.dropped_waiting", udp.dropped_waiting);
  numbers.emplace_back("udp_forwards.dropped_receive", udp.dropped_receive);
  numbers.emplace_back("udp_forwards.dropped_send", udp.dropped_send);
}

void ForwardEngine::add_to(Stats& stats) const {
  const FlowCounters& relays = relays_.counters().all;
  const UdpForward::Counters udp = udp_.counters();
  stats.bytes_to_guest = relays.bytes_to_guest + udp.bytes_to_guest;
  stats.bytes_to_host = relays.bytes_to_host + udp.bytes_to_host;
  for (const Family family : {Family::v4, Family::v6})
    stats.kernel_path.of(family) = setup_.path->now().takes_outbound(family);
  stats.flows_of(FlowPath::relay) = relays.flows;
  stats.flows_of(FlowPath::frames) = udp.flows;
  stats.opened_of(FlowPath::relay) = relays.flows_opened;
  stats.opened_of(FlowPath::frames) = udp_opened_;
  for (std::size_t i = 0; i < flow_ends; ++i) stats.flows_ended[i] = relays_.counters().ends[i] + udp_ended_[i];
  stats.uses = {{"forwards", rules_.listener_count(), limits::forwards},
                {"relays", relays_.size(), std::min(limits::relay_flows, RelaySet::allowed(fds_.capacity()))},
                {"relay_fds", fds_.used(), fds_.capacity()},
                {"relay_pipes", relays_.pipes(), limits::relay_pipes},
                {"udp_forward_flows", udp.flows, limits::udp_forward_flows}};
}

}  // namespace nh
