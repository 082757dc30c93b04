// SPDX-License-Identifier: BSD-3-Clause
// What `info` tells: a reading of every part's counters and limits, in the words of netns-helper-control.7.
#include <unistd.h>

#include "netstack/slirp/slirp_version.h"
#include "src/base/limits.h"
#include "src/helper/helper.h"

namespace nh {
namespace {

HelperInfo::Net net_info(const AddressPlan::Net& net, bool dns) {
  return {.network = net.network.text(),
          .gateway = net.gateway.text(),
          .dns = dns ? net.dns.text() : std::string(),
          .guest = net.guest.text()};
}

void add_guard(HelperInfo::Numbers& numbers, const FrameGuard& guard) {
  for (std::size_t i = 0; i < drop_reasons; ++i) {
    const auto reason = static_cast<DropReason>(i);
    numbers.emplace_back("guard.drops." + std::string(drop_reason_name(reason)), guard.drops().of(reason));
  }
  numbers.emplace_back("guard.urg_cleared", guard.urg_cleared());
  numbers.emplace_back("guard.reassembled", guard.reassembled());
}

void add_bridge(HelperInfo::Numbers& numbers, const TapBridge::Counters& in, const TapOutput::Counters& out) {
  numbers.emplace_back("tap.frames_from_guest", in.frames);
  numbers.emplace_back("tap.bytes_from_guest", in.bytes);
  numbers.emplace_back("tap.frames_to_guest", out.frames);
  numbers.emplace_back("tap.bytes_to_guest", out.bytes);
  numbers.emplace_back("tap.segments_merged", out.merged);
  numbers.emplace_back("tap.lost", out.lost);
  numbers.emplace_back("tap.backlog_full", out.backlog_full);
  numbers.emplace_back("tap.advertisements_dropped", out.advertisements_dropped);
  numbers.emplace_back("tap.turns", in.turns);
  numbers.emplace_back("tap.strays", in.strays);
  numbers.emplace_back("refused.loopback", in.refused_loopback);
  numbers.emplace_back("refused.link_local", in.refused_link_local);
  numbers.emplace_back("refused.virtual", in.refused_virtual);
  numbers.emplace_back("refused.ignored", in.ignored);
  numbers.emplace_back("refused.errors_sent", in.errors_sent);
  numbers.emplace_back("refused.errors_suppressed", in.errors_suppressed);
}

void add_dns(HelperInfo::Numbers& numbers, const DnsForwarder::Counters& dns) {
  numbers.emplace_back("dns.udp_queries", dns.udp_queries);
  numbers.emplace_back("dns.tcp_queries", dns.tcp_queries);
  numbers.emplace_back("dns.answered", dns.answered);
  numbers.emplace_back("dns.failed", dns.failed);
  numbers.emplace_back("dns.under_way", dns.under_way);
  numbers.emplace_back("dns.duplicates", dns.duplicates);
  numbers.emplace_back("dns.malformed", dns.malformed);
  numbers.emplace_back("dns.dropped_full", dns.dropped_full);
  numbers.emplace_back("dns.resolver_failures", dns.resolver_failures);
  numbers.emplace_back("dns.answers_ignored", dns.answers_ignored);
  numbers.emplace_back("dns.tcp_clients", dns.tcp_clients);
  numbers.emplace_back("dns.tcp_refused", dns.tcp_refused);
}

}  // namespace

HelperInfo Helper::info() const {
  const AddressPlan& plan = attachment_.plan;
  HelperInfo info;
  info.version = NETNS_HELPER_VERSION;
  info.libslirp = {.version = SlirpStack::library_version(),
                   .config_version = SlirpStack::config_version(),
                   .known_bad = known_faults(SlirpVersion::parse(SlirpStack::library_version()))};
  info.pid = getpid();
  info.agent_pid = attachment_.agent && attachment_.agent->alive() ? attachment_.agent->pid() : 0;
  info.target = {.kind = target_kind_name(attachment_.target.kind), .text = attachment_.target.text};
  info.tap = {.name = attachment_.info.name,
              .mac = attachment_.state.mac.text(),
              .mtu = attachment_.agent ? attachment_.state.mtu : plan.mtu,
              .offload = attachment_.info.offload};
  info.ipv4 = net_info(plan.v4, options_.use_dns);
  if (plan.v6) info.ipv6 = net_info(*plan.v6, options_.use_dns);
  for (const auto& entry : attachment_.state.addresses)
    info.tap_addresses.push_back(entry.address.text() + "/" + std::to_string(entry.prefix));
  info.mtu = plan.mtu;
  for (const NameServer& server : dns_ ? dns_->resolvers() : std::vector<NameServer>())
    info.resolvers.push_back(server.address.text());
  info.notes = notes_;
  info.confinement = {.sandbox = confinement_.sandbox, .seccomp = confinement_.seccomp, .notes = confinement_.notes};

  const FlowLimits flows = FlowLimits::for_descriptors(nofile_);
  info.limits = {{"nofile", nofile_},
                 {"reserved_fds", limits::reserved_fds},
                 {"tcp_flows", flows.tcp},
                 {"udp_flows", flows.udp},
                 {"icmp_flows", flows.icmp},
                 {"dns_queries", limits::dns_queries},
                 {"control_clients", limits::control_clients}};

  info.counters = {
      {"flows.tcp", slirp_->tcp_flows()}, {"flows.udp", slirp_->udp_flows()}, {"flows.icmp", slirp_->icmp_flows()}};
  add_bridge(info.counters, bridge_->counters(), output_->counters());
  add_guard(info.counters, *guard_);
  forwards_->add_to(info);
  outbound_->add_to(info);
  if (dns_) add_dns(info.counters, dns_->counters());
  if (control_) {
    const HelperInfo::Numbers control = control_->numbers();
    info.counters.insert(info.counters.end(), control.begin(), control.end());
  }
  info.counters.emplace_back("log.lost_lines", log::lost_lines());
  return info;
}

Stats Helper::stats() const {
  Stats stats;
  stats.started = started_;
  forwards_->add_to(stats);
  stats.flows_of(FlowPath::libslirp) = slirp_->tcp_flows();
  const FlowLimits flows = FlowLimits::for_descriptors(nofile_);
  stats.uses.push_back({"slirp_tcp_flows", slirp_->tcp_flows(), flows.tcp});
  stats.uses.push_back({"slirp_udp_flows", slirp_->udp_flows(), flows.udp});
  stats.uses.push_back({"control_clients", control_ ? control_->clients() : 0, limits::control_clients});
  stats.loop_turns = loop_.turns();
  return stats;
}

}  // namespace nh
