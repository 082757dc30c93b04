// SPDX-License-Identifier: BSD-3-Clause
#include "src/helper/helper.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "netstack/bridge/frame_socket.h"
#include "netstack/bridge/tap_device.h"
#include "netstack/slirp/slirp_version.h"
#include "src/base/limits.h"
#include "src/base/log.h"
#include "src/helper/outbound_address.h"
#include "src/helper/personalities/slirp4netns_texts.h"
#include "src/loop/signals.h"

namespace nh {
namespace {

std::vector<Address> addresses_of(const TapState& state) {
  std::vector<Address> addresses;
  for (const auto& entry : state.addresses) addresses.push_back(entry.address);
  return addresses;
}

void log_rule(const RuleEntry& rule) {
  constexpr std::size_t lines = 16;  // of a range; control commands list the rest
  std::size_t said = 0;
  for (const ListenerEntry& listener : rule.listeners) {
    if (said++ == lines)
      return log::info("forwarding " + rule.spec.text() + ": " + std::to_string(rule.listeners.size()) + " ports in all");
    const std::string host = listener.host_path.empty() ? listener.host.text() : listener.host_path;
    const bool reverse = rule.spec.kind == RuleSpec::Kind::reverse;
    log::info("forwarding " + std::string(transport_name(listener.transport)) + " " +
              (reverse ? listener.guest.text() + " of the guest" : host) + " to " +
              (reverse ? host + " of the host" : listener.guest.text()) +
              (listener.reason.empty() || reverse ? "" : " by libslirp: " + listener.reason));
  }
}

}  // namespace

Helper::Helper(const Options& options, const UniqueFd& signals, std::uint64_t nofile, Attachment attachment)
    : options_(options), signals_(signals), nofile_(nofile), attachment_(std::move(attachment)) {}

Helper::~Helper() = default;

Result<std::unique_ptr<Helper>> Helper::start(const Options& options, const UniqueFd& signals, std::uint64_t nofile) {
  std::vector<std::string> notes;
  NH_LET(plan, plan_addresses(options, notes));
  NH_LET(attachment, Attachment::begin(options, plan, MonotonicClock(), signals.get()));
  NH_TRY(Loop::can_be_made());
  std::unique_ptr<Helper> helper(new Helper(options, signals, nofile, std::move(attachment)));
  // The agent configures the guest meanwhile.
  NH_TRY(helper->open_device());
  NH_TRY(helper->build_stations());
  NH_TRY(helper->finish_attachment());

  helper->notes_ = std::move(notes);
  helper->notes_.insert(helper->notes_.end(), helper->attachment_.notes.begin(), helper->attachment_.notes.end());
  for (const std::string& note : helper->notes_) log::warning(note);

  NH_TRY(helper->bridge_->start());
  NH_TRY(helper->add_forwards());
  NH_TRY(helper->open_control_socket());
  helper->watch_lifecycle();
  NH_TRY(helper->wait_for_kernel_path());
  NH_TRY(helper->confine());
  NH_TRY(helper->tell_ready());
  // Nobody has to wait for what follows. Who is confined has started its threads before.
  if (!options.sandbox && !options.seccomp) helper->start_threads();
  helper->forwards_->prepare_guest();
  if (options.personality == Personality::slirp4netns) return helper;  // its callers show every line to their users
  for (const std::string& fault : known_faults(SlirpVersion::parse(SlirpStack::library_version())))
    log::info("libslirp " + SlirpStack::library_version() + ": " + fault);
  return helper;
}

Result<> Helper::open_device() {
  loop_.set_busy_poll(options_.busy_poll);
  NH_LET(flows, EpollSet::create(loop_));
  flows_ = std::move(flows);
  if (attachment_.target.frames) {
    device_ = std::make_unique<FrameSocket>(std::move(attachment_.target.frames));
  } else {
    if (options_.personality == Personality::slirp4netns) say_tap_arrived(attachment_.tap.get(), attachment_.info.name);
    device_ = std::make_unique<TapDevice>(std::move(attachment_.tap), attachment_.info.vnet_hdr);
  }
  output_.emplace(*device_);
  neighbours_.emplace(attachment_.info.mac);
  return Ok{};
}

Result<> Helper::build_stations() {
  const AddressPlan& plan = attachment_.plan;
  NH_LET(outbound_v4, outbound_address(options_.outbound_v4, Family::v4, "outbound-addr", options_.outbound_may_come));
  NH_LET(outbound_v6, outbound_address(options_.outbound_v6, Family::v6, "outbound-addr6", options_.outbound_may_come));
  guard_.emplace(GuardSetup{.plan = plan,
                            .max_ip_size = attachment_.info.offload ? 65535u : plan.mtu,
                            .ipv6 = plan.v6.has_value(),
                            .checksums_complete = true},
                 loop_.clock());

  NH_LET(slirp, SlirpStack::create(SlirpSetup{.plan = plan,
                                              .allow_host_loopback = options_.allow_host_loopback,
                                              .segment_offload = attachment_.info.offload,
                                              .dns = options_.use_dns,
                                              .outbound_v4 = outbound_v4,
                                              .outbound_v6 = outbound_v6},
                                   loop_, *flows_, *output_));
  slirp_ = std::move(slirp);

  const FlowLimits limits = FlowLimits::for_descriptors(nofile_);
  const std::size_t general_fds = limits.tcp + limits.udp + limits.icmp;
  forwards_.emplace(ForwardEngine::Setup{.loop = &loop_,
                                         .epoll = &*flows_,
                                         .sink = &*output_,
                                         .neighbours = &*neighbours_,
                                         .slirp = slirp_.get(),
                                         .agent = attachment_.agent.get(),
                                         .path = &kernel_path_,
                                         .plan = plan,
                                         .nofile = nofile_,
                                         .general_fds = general_fds,
                                         .to_loopback = options_.forward_to_loopback,
                                         .use_relays = options_.kernel_path != KernelPathMode::off,
                                         .relay_threads = options_.relay_threads,
                                         .inherited = options_.listeners,
                                         .on_udp_destinations = [this](std::vector<Address> destinations) {
                                           bridge_->set_forward_destinations(std::move(destinations));
                                         }});
  std::optional<DnsRedirect> redirect;
  if (options_.use_dns) {
    NH_LET(dns,
           DnsForwarder::create(DnsSetup{.epoll = &*flows_,
                                         .clock = &loop_.clock(),
                                         .sink = &*output_,
                                         .plan = plan,
                                         .fixed = options_.dns,
                                         .outbound4 = outbound_v4,
                                         .outbound6 = outbound_v6,
                                         .is_own_flow = [this](const Endpoint& peer) { return slirp_->owns_flow(peer); }}));
    dns_ = std::move(dns);
    redirect.emplace(plan, dns_->tcp_listener(Family::v4), dns_->tcp_listener(Family::v6));
    output_->set_dns_redirect(*redirect);
  }

  outbound_.emplace(OutboundEngine::Setup{.loop = &loop_,
                                          .relays = &forwards_->relays(),
                                          .stand_ins = forwards_->stand_ins(),
                                          .path = &kernel_path_,
                                          .sink = &*output_,
                                          .events = &forwards_->events(),
                                          .dns = dns_.get(),
                                          .plan = plan,
                                          .source_v4 = outbound_v4,
                                          .source_v6 = outbound_v6,
                                          .wanted = options_.kernel_path,
                                          .general = [this](Bytes syn) { bridge_->take_back(syn); }});

  if (dns_) dns_deadline_ = loop_.deadline([this] { return dns_->next_deadline(); }, [this] { dns_->expire(); });

  TapBridge::Hooks hooks;
  if (attachment_.agent) hooks.ask_addresses = [this] { attachment_.agent->request_refresh(); };
  hooks.on_gone = [this](const Error& error) { on_device_gone(error); };
  slirp_->set_socket_budget(general_fds);
  bridge_.emplace(loop_, *flows_,
                  BridgeParts{.device = device_.get(),
                              .output = &*output_,
                              .guard = &*guard_,
                              .neighbours = &*neighbours_,
                              .slirp = slirp_.get(),
                              .udp_forward = &forwards_->udp(),
                              .relays = &forwards_->relays(),
                              .outbound = outbound_->tcp(),
                              .dns = dns_.get(),
                              .redirect = redirect},
                  plan,
                  ReachRules{.allow_host_loopback = options_.allow_host_loopback,
                             .allow_link_local = options_.allow_link_local,
                             .dns = options_.use_dns},
                  limits, std::move(hooks));
  return Ok{};
}

Result<> Helper::finish_attachment() {
  const bool planned_v6 = attachment_.plan.v6.has_value();
  NH_TRY(attachment_.finish(options_));
  if (planned_v6 && !attachment_.plan.v6) {
    // Rare enough to build again what was built for both families.
    bridge_.reset();
    outbound_.reset();
    dns_.reset();
    forwards_.reset();
    slirp_.reset();
    NH_TRY(build_stations());
  }
  if (attachment_.ra_guard) output_->drop_advertisements();
  neighbours_->set_tap(attachment_.state.mac);
  if (attachment_.agent) {
    set_guest_state(attachment_.state);
    attachment_.agent->on_note([](const std::string& note) { log::rate_limited(log::Level::info, "agent note", note); });
    attachment_.agent->serve(
        loop_, [this](const TapState& state) { on_guest_state(state); },
        [this](const Error& error) { on_agent_lost(error); });
  }
  return Ok{};
}

Result<> Helper::add_forwards() {
  auto added = forwards_->rules().add(options_.forwards);
  if (!added) return std::move(added).error().in("--forward");
  for (const RuleEntry& rule : *added) log_rule(rule);
  return Ok{};
}

Result<> Helper::open_control_socket() {
  if (options_.api_socket.empty()) return Ok{};
  ControlServer::Setup setup{.path = options_.api_socket,
                             .dialect = options_.personality == Personality::native ? Dialect::native : Dialect::slirp4netns,
                             .replace_file = options_.personality == Personality::slirp4netns,
                             .rules = forwards_->rules(),
                             .events = forwards_->events(),
                             .info = [this] { return info(); },
                             .stats = [this] { return stats(); }};
  NH_LET(server, ControlServer::open(loop_, std::move(setup)));
  control_ = std::move(server);
  return Ok{};
}

// Only who asks for it waits.
Result<> Helper::wait_for_kernel_path() {
  if (options_.kernel_path != KernelPathMode::require) return Ok{};
  forwards_->prepare_guest();
  const Instant deadline = loop_.clock().now() + limits::kernel_path_wait;
  const Timer wake = loop_.deadline([deadline] { return deadline; }, [] {});
  while (!outbound_->requirement() && loop_.clock().now() < deadline && ended_by_signal_ == 0) loop_.turn(true);
  if (ended_by_signal_ != 0) return Error{.code = Code::interrupted, .what = "waiting for the kernel path"};
  if (auto known = outbound_->requirement()) return std::move(*known);
  return Error{.code = Code::timeout, .what = "--kernel-path=require: no answer of the guest agent", .field = "kernel-path"};
}

void Helper::watch_lifecycle() {
  signal_watch_ = loop_.watch(signals_.get(), POLLIN, [this](IoEvents) {
    const int number = next_signal(signals_);
    if (number == 0) return;
    ended_by_signal_ = number;
    log::info("ended by signal " + std::to_string(number));
    loop_.quit(exit_asked);
  });
  if (options_.exit_fd >= 0) {
    exit_fd_.reset(options_.exit_fd);
    // slirp4netns asks for the hang-up alone: bytes in the pipe mean nothing to it.
    const IoEvents events = options_.personality == Personality::slirp4netns ? POLLHUP : POLLIN | POLLHUP;
    exit_watch_ = loop_.watch(exit_fd_.get(), events, [this](IoEvents) {
      if (options_.personality == Personality::slirp4netns)
        say_exit_event();
      else
        log::info("ended by --exit-fd");
      loop_.quit(exit_asked);
    });
  }
  if (options_.sync_fd >= 0) {
    sync_fd_.reset(options_.sync_fd);
    sync_watch_ = loop_.watch(sync_fd_.get(), POLLIN | POLLHUP, [this](IoEvents) {
      std::array<char, 4096> ignored;
      const ssize_t got = read(sync_fd_.get(), ignored.data(), ignored.size());
      if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) return;
      log::info("ended by --sync-fd");
      loop_.quit(exit_asked);
    });
  }
  const Target& target = attachment_.target;
  if (target.pidfd) {
    target_watch_ = loop_.watch(target.pidfd.get(), POLLIN, [this](IoEvents) {
      log::info("the target has ended: process " + attachment_.target.text);
      loop_.quit(exit_asked);
    });
  }
  path_timer_ = loop_.timer([this] { check_path(); });
  if (target.kind == TargetKind::netns_path) path_timer_.arm(limits::netns_path_check);
}

void Helper::on_device_gone(const Error& error) {
  if (attachment_.target.kind == TargetKind::frame_socket) {
    log::info("the target has ended: " + error.message());
    return loop_.quit(exit_asked);
  }
  log::error("the TAP is gone, the guest has deleted it: " + error.message());
  loop_.quit(exit_failure);
}

void Helper::check_path() {
  if (attachment_.target.path_gone()) {
    log::info("the target has ended: " + attachment_.target.text + " no longer leads to its network namespace");
    return loop_.quit(exit_asked);
  }
  path_timer_.arm(limits::netns_path_check);
}

Result<> Helper::confine() {
  if (options_.sandbox) NH_TRY(attachment_.target.hold_path());
  HelperConfinement wanted{.sandbox = options_.sandbox,
                           .seccomp = options_.seccomp,
                           .inspectable = options_.personality == Personality::slirp4netns,
                           .directories = {{.fd = attachment_.target.path_directory.get()}},
                           .agent = attachment_.agent ? attachment_.agent->pid() : 0,
                           .start_threads = [this] { start_threads(); }};
  for (const int directory : forwards_->rules().directory_fds())
    wanted.directories.push_back({.fd = directory, .writable = true});
  if (control_) wanted.directories.push_back({.fd = control_->directory_fd(), .writable = true});
  NH_LET(confined, confine_helper(wanted));
  confinement_ = std::move(confined);
  if (options_.sandbox || options_.seccomp) forwards_->confined();
  return Ok{};
}

void Helper::start_threads() {
  auto started = forwards_->start_threads();
  if (started) return;
  notes_.push_back("fewer relay threads than --relay-threads asks for: " + started.error().message());
  log::warning(notes_.back());
}

Result<> Helper::tell_ready() {
  if (options_.personality == Personality::slirp4netns) say_start(options_, attachment_.plan);
  if (options_.ready_fd < 0) return Ok{};
  const UniqueFd fd(std::exchange(options_.ready_fd, -1));
  if (write(fd.get(), "1", 1) != 1) return sys_error("writing the ready byte to --ready-fd");
  return Ok{};
}

void Helper::on_guest_state(const TapState& state) {
  attachment_.state = state;
  set_guest_state(state);
}

void Helper::set_guest_state(const TapState& state) {
  const std::vector<Address> addresses = addresses_of(state);
  bridge_->set_guest_state(addresses, state.mac);
  forwards_->set_guest_addresses(addresses);
}

void Helper::on_agent_lost(const Error& error) {
  notes_.push_back("the guest agent is lost, changes in the guest are no longer followed: " + error.message());
  log::warning(notes_.back());
  bridge_->agent_lost();
}

int Helper::run() {
  return loop_.run();
}

}  // namespace nh
