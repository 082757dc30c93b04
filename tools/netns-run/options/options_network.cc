// SPDX-License-Identifier: BSD-3-Clause
#include <sys/random.h>

#include <array>

#include "netstack/plan/address_plan.h"
#include "src/base/number.h"
#include "tools/netns-run/options/raw_options.h"

namespace nh::run {
namespace {

/// A /25 of 10.240.0.0/12 and a /64 of fd42::/32, by chance: two runs hardly ever meet.
Result<> choose_private_networks(NetworkPlan& network) {
  std::array<std::uint8_t, 6> chance{};
  if (getrandom(chance.data(), chance.size(), 0) != static_cast<ssize_t>(chance.size()))
    return sys_error("choosing addresses by chance");
  const std::uint32_t v4 = 0x0af00000u | (static_cast<std::uint32_t>(chance[0] & 0x0f) << 16) |
                           (static_cast<std::uint32_t>(chance[1]) << 8) | (chance[0] & 0x80u);
  network.cidr = Cidr::of(Address::v4(v4), 25);
  if (network.cidr6) {
    const std::array<std::uint8_t, 16> v6{0xfd, 0x42, chance[2], chance[3], chance[4], chance[5]};
    network.cidr6 = Cidr::of(Address::from_bytes(v6), 64);
  }
  return Ok{};
}

Result<> fill_addresses(const RawOptions& raw, NetworkPlan& network) {
  if (!raw.mtu.empty()) {
    NH_LET(mtu, of_option("mtu", parse_unsigned(raw.mtu, AddressPlan::mtu_min, AddressPlan::mtu_max, "MTU")));
    network.mtu = static_cast<unsigned>(mtu);
  }
  if (raw.no_ipv6 && !raw.cidr6.empty()) return option_error("cidr6", "contradicts --no-ipv6");
  if (raw.no_ipv6 || (network.mtu < AddressPlan::mtu_min_v6 && (raw.cidr6.empty() || raw.cidr6 == "auto")))
    network.cidr6.reset();
  bool private_30 = false;
  if (!raw.net_plan.empty()) {
    NH_LET(chosen, parse_word("net-plan", raw.net_plan, "private", "helper"));
    private_30 = chosen;
  }
  if (private_30) {
    if (!raw.cidr.empty() || !raw.cidr6.empty())
      return option_error("net-plan", "private chooses its networks itself: no --cidr, --cidr6");
    network.addresses = NetworkPlan::Addresses::private_30;
    network.choose_cidr = network.choose_cidr6 = false;
    return choose_private_networks(network);
  }
  network.choose_cidr = raw.cidr.empty() || raw.cidr == "auto";
  network.choose_cidr6 = raw.cidr6.empty() || raw.cidr6 == "auto";
  if (!network.choose_cidr) {
    NH_LET(cidr, of_option("cidr", Cidr::parse(raw.cidr)));
    network.cidr = cidr;
  }
  if (!network.choose_cidr6) {
    NH_LET(cidr6, of_option("cidr6", Cidr::parse(raw.cidr6)));
    network.cidr6 = cidr6;
  }
  auto addresses = AddressPlan::make(network.cidr, network.cidr6, network.mtu);
  if (addresses) return Ok{};
  const std::string field = addresses.error().field;
  return std::move(addresses).error().in("--" + field);
}

Result<> fill_helper_options(const RawOptions& raw, NetworkPlan& network) {
  if (raw.no_dns && !raw.dns.empty()) return option_error("dns", "contradicts --no-dns");
  network.dns = !raw.no_dns;
  std::vector<std::string>& words = network.helper_options;
  for (const std::string& text : raw.dns) {
    NH_TRY(of_option("dns", Address::parse(text)));
    words.push_back("--dns=" + text);
  }
  if (raw.allow_host_loopback) words.emplace_back("--allow-host-loopback");
  if (raw.allow_link_local) words.emplace_back("--allow-link-local");
  if (!raw.outbound.empty()) words.push_back("--outbound-addr=" + raw.outbound);
  if (!raw.outbound6.empty()) words.push_back("--outbound-addr6=" + raw.outbound6);
  if (!raw.api_socket.empty()) words.push_back("--api-socket=" + raw.api_socket);
  words.insert(words.end(), raw.helper_options.begin(), raw.helper_options.end());
  for (const std::string& text : raw.publish) {
    NH_LET(spec, of_option("publish", RuleSpec::parse(text)));
    network.publish.push_back(std::move(spec));
  }
  network.helper_path = raw.helper;
  if (!raw.confine_helper.empty()) {
    NH_LET(confine, parse_word("confine-helper", raw.confine_helper, "yes", "no"));
    network.confine_helper = confine;
  }
  if (!raw.on_helper_exit.empty()) {
    NH_LET(kill, parse_word("on-helper-exit", raw.on_helper_exit, "kill", "keep"));
    network.on_helper_exit = kill ? NetworkPlan::HelperExit::kill : NetworkPlan::HelperExit::keep;
  }
  return Ok{};
}

}  // namespace

Result<> fill_network(const RawOptions& raw, Plan& plan) {
  NetworkPlan& network = plan.network;
  if (!plan.namespaces.is_host(NamespaceType::net) && plan.namespaces.is_fresh(NamespaceType::mount)) {
    plan.root.hide_name_services = true;
    plan.root.own_sysfs = plan.root.directory.empty();
  }
  if (plan.namespaces.is_fresh(NamespaceType::net)) {
    network.kind = raw.no_net ? NetworkPlan::Kind::loopback : NetworkPlan::Kind::helper;
  } else {
    network.kind = plan.namespaces.is_host(NamespaceType::net) ? NetworkPlan::Kind::host : NetworkPlan::Kind::joined;
  }
  if (network.kind == NetworkPlan::Kind::helper) {
    NH_TRY(fill_addresses(raw, network));
    NH_TRY(fill_helper_options(raw, network));
    plan.root.write_resolv_conf = network.dns && plan.namespaces.is_fresh(NamespaceType::mount);
    return Ok{};
  }
  const struct {
    bool given;
    const char* option;
  } helpers_own[] = {{!raw.publish.empty(), "publish"},
                     {!raw.net_plan.empty(), "net-plan"},
                     {!raw.helper.empty(), "helper"},
                     {!raw.confine_helper.empty(), "confine-helper"},
                     {!raw.on_helper_exit.empty(), "on-helper-exit"},
                     {!raw.mtu.empty(), "mtu"},
                     {!raw.cidr.empty(), "cidr"},
                     {!raw.cidr6.empty(), "cidr6"},
                     {raw.no_ipv6, "no-ipv6"},
                     {!raw.dns.empty(), "dns"},
                     {raw.no_dns, "no-dns"},
                     {raw.allow_host_loopback, "allow-host-loopback"},
                     {raw.allow_link_local, "allow-link-local"},
                     {!raw.outbound.empty(), "outbound-addr"},
                     {!raw.outbound6.empty(), "outbound-addr6"},
                     {!raw.api_socket.empty(), "api-socket"},
                     {!raw.helper_options.empty(), "helper-option"}};
  for (const auto& [given, option] : helpers_own)
    if (given) return option_error(option, "is for the helper's network, and there is no helper here (--no-net, --net)");
  return Ok{};
}

}  // namespace nh::run
