// SPDX-License-Identifier: BSD-3-Clause
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

#include <cerrno>

#include "src/base/unique_fd.h"
#include "src/linux/tap.h"
#include "tools/netns-run/doctor/doctor_checks.h"
#include "tools/netns-run/doctor/nft_probe.h"

namespace nh::run {

namespace {

const char* const needs_namespaces = "see user_namespace and net_namespace";

/// In namespaces of its own; what the check is about comes after.
Finding inside(Finding (*body)()) {
  if (auto entered = enter_namespaces(CLONE_NEWNET); !entered) return refused(entered.error(), needs_namespaces);
  return body();
}

Finding try_tap() {
  auto tap = open_tap("doctor0");
  if (tap) return {.detail = "opened /dev/net/tun, made a TAP in a new network namespace"};
  return refused(tap.error(),
                 "as root: modprobe tun; chmod 0666 /dev/net/tun; in a container: pass it in, --device /dev/net/tun");
}

Finding try_offload() {
  auto tap = open_tap("doctor0");
  if (!tap) return refused(tap.error(), "see tap");
  if (tap->info.vnet_hdr && tap->info.offload) return {.detail = "the kernel hands over TCP segments of up to 64 KiB"};
  return {CheckState::limited, "TUNSETOFFLOAD was refused: every frame is carried by itself, at more cost",
          "use a kernel whose tun device has offloads"};
}

Finding try_nft() {
  auto missing = try_nf_tables();
  const std::string cure =
      "as root: modprobe -a nf_tables nf_conntrack nft_ct nft_socket; or build them into the kernel. Without them all TCP "
      "takes the "
      "slower general path";
  if (!missing) return refused(missing.error(), cure);
  if (missing->empty()) return {.detail = "took every statement that we use, for IPv4 and IPv6"};
  std::string text;
  for (const std::string& piece : *missing) text += (text.empty() ? "" : "; ") + piece;
  return {CheckState::limited, text, cure};
}

Finding try_transparent() {
  const int on = 1;
  const UniqueFd v4(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!v4 || setsockopt(v4.get(), IPPROTO_IP, IP_TRANSPARENT, &on, sizeof on) != 0)
    return refused(sys_error("IP_TRANSPARENT in a new network namespace"), "see user_namespace_privileges");
  const UniqueFd v6(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (v6 && setsockopt(v6.get(), IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof on) == 0)
    return {.detail = "IPv4 and IPv6, in a new network namespace"};
  return {CheckState::limited, sys_error("IPv4 only; IPV6_TRANSPARENT").message(), "see ipv6"};
}

/// No packet is sent: an address of the loopback is bound, nothing more.
Finding try_ipv6() {
  const UniqueFd fd(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return {CheckState::limited, sys_error("making an IPv6 socket").message(), "boot without ipv6.disable=1"};
  sockaddr_in6 loopback{};
  loopback.sin6_family = AF_INET6;
  loopback.sin6_addr = in6addr_loopback;
  const void* address = &loopback;
  if (bind(fd.get(), static_cast<const sockaddr*>(address), sizeof loopback) == 0) return {.detail = "::1 can be bound"};
  return {CheckState::limited, sys_error("binding ::1").message(),
          "as root: sysctl -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.lo.disable_ipv6=0"};
}

Finding try_ping() {
  const std::string range = read_sysctl("/proc/sys/net/ipv4/ping_group_range");
  const UniqueFd v4(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP));
  if (!v4)
    return {CheckState::limited,
            sys_error("ping to the outside will not work: making a ping socket").message() +
                "; net.ipv4.ping_group_range is \"" + range + "\"",
            "as root: sysctl -w net.ipv4.ping_group_range=\"0 2147483647\""};
  const UniqueFd v6(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMPV6));
  if (!v6) return {CheckState::limited, sys_error("IPv4 only; making an ICMPv6 ping socket").message(), "see ipv6"};
  return {.detail = "made ping sockets"};
}

/// Port 1 is bound for a moment on the loopback, without listening. EADDRINUSE would say that we may, too.
Finding try_low_port() {
  sockaddr_in loopback{};
  loopback.sin_family = AF_INET;
  loopback.sin_port = htons(1);
  loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const void* address = &loopback;
  if (fd && (bind(fd.get(), static_cast<const sockaddr*>(address), sizeof loopback) == 0 || errno == EADDRINUSE))
    return {.detail = "every port may be published"};
  const std::string start = read_sysctl("/proc/sys/net/ipv4/ip_unprivileged_port_start");
  return {CheckState::limited, sys_error("binding port 1").message() + "; ports from " + start + " on may be published",
          "as root: sysctl -w net.ipv4.ip_unprivileged_port_start=80, or give the helper CAP_NET_BIND_SERVICE"};
}

}  // namespace

void check_network(std::vector<Check>& checks) {
  checks.push_back(named("tap", true, probe([] { return inside(try_tap); })));
  checks.push_back(named("tap_offload", false, probe([] { return inside(try_offload); })));
  checks.push_back(named("nf_tables", false, probe([] { return inside(try_nft); })));
  checks.push_back(named("transparent_sockets", false, probe([] { return inside(try_transparent); })));
  checks.push_back(named("ipv6", false, probe(try_ipv6)));
  checks.push_back(named("ping", false, probe(try_ping)));
  checks.push_back(named("low_ports", false, probe(try_low_port)));
}

}  // namespace nh::run
