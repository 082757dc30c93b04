// SPDX-License-Identifier: BSD-3-Clause
#include "src/helper/attachment.h"

#include <fcntl.h>

#include <climits>

#include "src/base/log.h"
#include "src/base/number.h"
#include "src/netlink/host_networks.h"

namespace nh {
namespace {

constexpr unsigned ipv6_minimum_mtu = 1280;  // RFC 8200 5

Result<Target> open_process(const Options& options) {
  if (options.target_pidfd < 0) return open_pid_target(options.target, options.userns);
  UniqueFd pidfd(fcntl(options.target_pidfd, F_DUPFD_CLOEXEC, 3));
  if (!pidfd) return sys_error("holding process " + options.target);
  NH_LET(pid, parse_unsigned(options.target, 1, INT_MAX, "pid"));
  return open_pid_target(static_cast<pid_t>(pid), std::move(pidfd), options.userns);
}

Result<Target> open_target(const Options& options, const Clock& clock, int signal_fd) {
  switch (options.attach) {
    case TargetKind::pid:
      return open_process(options);
    case TargetKind::netns_path:
    case TargetKind::netns_fd:
      return open_netns_target(options.target, options.userns);
    case TargetKind::tap_fd:
      return open_tap_fd_target(options.target, options.userns);
    case TargetKind::tap_socket:
      return open_tap_socket_target(options.target, clock, signal_fd, options.userns);
    case TargetKind::frame_socket:
      return open_frame_socket_target(options.target, signal_fd);
  }
  NH_BUG_IF(true);
}

InterfacePlan interface_plan(const Options& options, const AddressPlan& plan) {
  const auto net = [&options](const AddressPlan::Net& from) {
    return InterfacePlan::Net{.address = from.guest,
                              .prefix = from.network.prefix(),
                              .gateway = from.gateway,
                              .dns = options.use_dns ? std::optional<Address>(from.dns) : std::nullopt};
  };
  InterfacePlan interface;
  interface.name = options.tap_name;
  interface.bring_lo_up = !options.leave_lo;
  interface.mac = options.mac;
  interface.mtu = plan.mtu;
  interface.v4 = net(plan.v4);
  if (plan.v6) interface.v6 = net(*plan.v6);
  interface.v6_eui64 = options.eui64_guest;
  return interface;
}

struct Networks {
  Cidr v4;
  std::optional<Cidr> v6;
};

/// The user is told of what the guest cannot reach; slirp4netns has no such message, and its users see every line.
Result<Networks> choose_networks(const Options& options, std::vector<std::string>& ret_notes) {
  Networks networks{.v4 = options.cidr, .v6 = options.cidr6};
  if (options.personality != Personality::native) return networks;
  NH_LET(used, host_networks());
  if (options.choose_cidr) networks.v4 = free_network(options.cidr, used);
  if (options.choose_cidr6 && networks.v6) networks.v6 = free_network(*networks.v6, used);
  const auto tell = [&used, &ret_notes](const Cidr& network, const std::string& option) {
    if (const auto hosts = overlapping(used, network))
      ret_notes.push_back("the guest's network " + network.text() + " overlaps with " + hosts->text() +
                          ", to which the host has a route: the guest cannot reach what the host reaches there (" + option +
                          " auto chooses a network that is free)");
  };
  tell(networks.v4, "--cidr");
  if (networks.v6) tell(*networks.v6, "--cidr6");
  return networks;
}

}  // namespace

Result<AddressPlan> plan_addresses(const Options& options, std::vector<std::string>& ret_notes) {
  NH_LET(networks, choose_networks(options, ret_notes));
  auto plan = AddressPlan::make(networks.v4, networks.v6, options.mtu);
  if (!plan) {
    Error error = std::move(plan).error();
    if (!error.field.empty()) error = std::move(error).in("--" + error.field);
    return error;
  }
  if (options.cidr6 && !plan->v6) {
    if (options.cidr6_given)
      return Error{.code = Code::invalid,
                   .what = "--cidr6: IPv6 needs an MTU of at least " + std::to_string(ipv6_minimum_mtu) + ", not " +
                           std::to_string(options.mtu),
                   .field = "cidr6"};
    ret_notes.push_back("IPv6 is off: it needs an MTU of at least " + std::to_string(ipv6_minimum_mtu) + ", not " +
                        std::to_string(options.mtu));
  }
  return plan;
}

Result<Attachment> Attachment::begin(const Options& options, const AddressPlan& plan, const Clock& clock, int signal_fd) {
  NH_LET(target, open_target(options, clock, signal_fd));
  Attachment attachment(plan);

  if (target.frames) {
    // Until its own frames tell its MAC, the guest is spoken to by broadcast.
    attachment.info.mac.bytes.fill(0xff);
    attachment.target = std::move(target);
    return attachment;
  }
  if (!target.netns) {
    NH_LET(info, adopt_tap(target.tap.get()));
    attachment.info = info;
    attachment.tap = std::move(target.tap);
    attachment.notes.emplace_back(
        "the kernel does not let us into the TAP's network namespace: nothing is configured there");
    attachment.target = std::move(target);
    return attachment;
  }

  AgentSetup setup{.target = &target,
                   .tap_name = options.tap_name,
                   .plan = std::nullopt,
                   .signal_fd = signal_fd,
                   .sandbox = options.sandbox,
                   .seccomp = options.seccomp};
  if (options.configure) setup.plan = interface_plan(options, plan);
  Attached attached;
  NH_LET(agent, AgentLink::start(setup, attached));
  attachment.agent = std::move(agent);
  attachment.tap = std::move(attached.tap);
  attachment.info = std::move(attached.info);
  attachment.target = std::move(target);
  if (options.eui64_guest && attachment.plan.v6)
    attachment.plan.v6->guest = eui64_address(plan.v6->network.network(), options.mac.value_or(attachment.info.mac));
  return attachment;
}

Result<> Attachment::finish(const Options& options) {
  if (!agent) {
    state.mac = info.mac;
    return Ok{};
  }
  Attached attached;
  NH_TRY(agent->finish(attached));
  info.mac = attached.state.mac;
  state = std::move(attached.state);
  ra_guard = attached.ra_guard_needed;
  notes = std::move(attached.warnings);
  if (attached.ipv6_left_out) {
    if (options.cidr6_given)
      return Error{.code = Code::unsupported, .what = "--cidr6: the guest has no IPv6", .field = "cidr6"};
    plan.v6.reset();
  }
  return Ok{};
}

std::string target_kind_name(TargetKind kind) {
  switch (kind) {
    case TargetKind::pid:
      return "pid";
    case TargetKind::netns_path:
      return "netns-path";
    case TargetKind::netns_fd:
      return "netns-fd";
    case TargetKind::tap_fd:
      return "tap-fd";
    case TargetKind::tap_socket:
      return "tap-socket";
    case TargetKind::frame_socket:
      return "frame-socket";
  }
  NH_BUG_IF(true);
}

}  // namespace nh
