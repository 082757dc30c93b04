// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/inside/network.h"

#include <fcntl.h>
#include <unistd.h>

#include "netstack/plan/address_plan.h"
#include "src/base/log.h"
#include "src/linux/tap.h"
#include "src/netlink/link.h"

namespace nh::run {
namespace {

constexpr const char* tap_name = "tap0";
constexpr std::uint32_t next_hop_offset = 101, guest_offset = 102;
constexpr unsigned private_prefix = 30;

void write_setting(const std::string& path, const std::string& value) {
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file || write(file.get(), value.data(), value.size()) < 0)
    log::debug(sys_error("writing " + value + " to " + path).message());
}

}  // namespace

GuestNetwork guest_network(const NetworkPlan& plan) {
  auto made = AddressPlan::make(plan.cidr, plan.cidr6, plan.mtu);
  NH_BUG_IF(!made);
  AddressPlan& addresses = *made;
  GuestNetwork network;
  network.interface.name = tap_name;
  network.interface.mtu = plan.mtu;
  if (plan.addresses == NetworkPlan::Addresses::private_30) {
    addresses.v4.guest = plan.cidr.host(guest_offset);
    network.interface.v4 = InterfacePlan::Net{
        .address = addresses.v4.guest, .prefix = private_prefix, .gateway = plan.cidr.host(next_hop_offset), .dns = {}};
    if (addresses.v6)
      network.interface.v6 = InterfacePlan::Net{.address = addresses.v6->guest,
                                                .prefix = addresses.v6->network.prefix(),
                                                .gateway = addresses.v6->gateway,
                                                .dns = addresses.v6->dns};
  }
  network.addresses.push_back(addresses.v4.guest);
  if (addresses.v6) network.addresses.push_back(addresses.v6->guest);
  if (plan.dns) {
    network.nameservers.push_back(addresses.v4.dns);
    if (addresses.v6) network.nameservers.push_back(addresses.v6->dns);
  }
  return network;
}

Result<> bring_up_loopback() {
  NH_LET(netlink, NlSocket::connect());
  NH_LET(lo, find_link(netlink, "lo"));
  UndoLog undo;
  return set_link_up(netlink, lo.get(), undo);
}

Result<UniqueFd> make_tap(const NetworkPlan& plan, const GuestNetwork& network) {
  NH_LET(tap, open_tap(tap_name));
  if (plan.addresses == NetworkPlan::Addresses::private_30) {
    NH_LET(netlink, NlSocket::connect());
    UndoLog undo;
    NH_LET(outcome, apply(netlink, network.interface, undo));
    for (const std::string& warning : outcome.warnings) log::warning(warning);
  }
  return std::move(tap.fd);
}

void allow_low_ports() {
  write_setting("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
}

void allow_ping(gid_t gid) {
  write_setting("/proc/sys/net/ipv4/ping_group_range", std::to_string(gid) + " " + std::to_string(gid));
}

}  // namespace nh::run
