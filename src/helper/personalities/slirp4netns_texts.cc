// SPDX-License-Identifier: BSD-3-Clause
#include "src/helper/personalities/slirp4netns_texts.h"

#include <algorithm>
#include <cstdio>

#include "netstack/slirp/slirp_stack.h"
#include "src/base/log.h"
#include "src/confine/confine.h"
#include "src/helper/personalities/slirp4netns_options.h"

namespace nh {
namespace {

constexpr unsigned dhcp_addresses = 16;  // libslirp's pool (bootp.h, NB_BOOTP_CLIENTS)

Address netmask(unsigned prefix) {
  return Address::v4(~std::uint32_t{0} << (32 - prefix));
}

Address plus(const Address& address, std::uint32_t offset) {
  return Address::v4(address.v4_value() + offset);
}

}  // namespace

std::string slirp4netns_help(const std::string& program) {
  return "Usage: " + program + R"( [OPTION]... PID|PATH|FD [TAPNAME]
The network of netns-helper, by the command line of slirp4netns.

-c, --configure          configure lo and the interface: address, MTU, routes
-e, --exit-fd=FD         end when anything happens to this file descriptor
-r, --ready-fd=FD        write 1 to this file descriptor when the network is usable
-m, --mtu=MTU            MTU of the interface (default=1500, max=65521)
-6, --enable-ipv6        have IPv6 too: fd00::/64
-a, --api-socket=PATH    make a socket for requests: port forwards, information
--cidr=CIDR              IPv4 network (default=10.0.2.0/24)
--disable-host-loopback  the host's loopback cannot be reached from the namespace
--netns-type=TYPE        what the first argument is ([path|pid|tapfd], default=pid)
--userns-path=PATH       user namespace to join (default: the network namespace's owner)
--enable-sandbox         leave the file system and all capabilities but CAP_NET_BIND_SERVICE
--enable-seccomp         make no system call that is not needed
--outbound-addr=IPv4     source of IPv4 connections: an address or an interface's name
--outbound-addr6=IPv6    source of IPv6 connections: an address or an interface's name
--disable-dns            10.0.2.3 (or that of --cidr) does not lead to the host's resolvers
--macaddress=MAC         MAC address of the interface (only with -c)
--target-type=TYPE       what is attached to ([netns|bess], default=netns)
-h, --help               show this help and exit
-v, --version            show versions and exit
)";
}

std::string slirp4netns_version_text() {
  return std::string("slirp4netns version ") + slirp4netns_version +
         "\n"
         "commit: netns-helper-" NETNS_HELPER_VERSION
         "\n"
         "libslirp: " +
         SlirpStack::library_version() + "\nSLIRP_CONFIG_VERSION_MAX: " + std::to_string(SlirpStack::config_version()) +
         "\nlibseccomp: " + seccomp_library_version() +
         "\n"
         "This is netns-helper " NETNS_HELPER_VERSION ", in slirp4netns's place.\n";
}

std::string slirp4netns_start_text(const Options& options, const AddressPlan& plan) {
  std::string text = "Starting slirp\n";
  const auto line = [&text](std::string label, const std::string& value) {
    label = "* " + label + ":";
    label.resize(std::max<std::size_t>(label.size() + 1, 19), ' ');
    text += label + value + "\n";
  };
  line("MTU", std::to_string(plan.mtu));
  line("Network", plan.v4.network.network().text());
  line("Netmask", netmask(plan.v4.network.prefix()).text());
  line("Gateway", plan.v4.gateway.text());
  line("DNS", plan.v4.dns.text());
  line("DHCP begin", plan.dhcp_start.text());
  line("DHCP end", plus(plan.dhcp_start, dhcp_addresses - 1).text());
  line("Recommended IP", plan.v4.guest.text());
  if (!options.api_socket.empty()) line("API Socket", options.api_socket);
  // One column further than the others, as everywhere.
  if (!options.outbound_v4.empty()) line("Outbound IPv4", " " + options.outbound_v4);
  if (!options.outbound_v6.empty()) line("Outbound IPv6", " " + options.outbound_v6);
  if (options.mac) line("MAC address", options.mac->text());
  if (options.allow_host_loopback) {
    text += "WARNING: 127.0.0.1:* on the host is accessible as " + plan.v4.gateway.text() +
            " (set --disable-host-loopback to prohibit connecting to 127.0.0.1:*)\n";
  }
  return text;
}

void say_start(const Options& options, const AddressPlan& plan) {
  std::fputs(slirp4netns_start_text(options, plan).c_str(), stdout);
  std::fflush(stdout);
}

void say_tap_arrived(int tap, const std::string& name) {
  log::plain("sent tapfd=" + std::to_string(tap) + " for " + name);
  log::plain("received tapfd=" + std::to_string(tap));
}

void say_exit_event() {
  log::plain("exitfd event");
  log::plain("do_slirp is exiting");
}

}  // namespace nh
