// SPDX-License-Identifier: BSD-3-Clause
// Options: what a start was asked for, parsed and checked as far as that needs no look at the system. Every command line
// fills the same Options; nothing behind here knows how they were spelled.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "src/base/address.h"
#include "src/base/exit_codes.h"
#include "src/base/log.h"
#include "src/linux/listen_fds.h"
#include "src/linux/target.h"
#include "src/rules/rule_spec.h"

namespace nh {

/// MTU of the TAP unless --mtu says otherwise; netns-helper.1 has the measurement behind it.
inline constexpr unsigned default_mtu = 1500;

/// Threads that move the bytes of large flows, unless --relay-threads says otherwise; netns-helper.1 has the measurement behind it.
inline constexpr unsigned default_relay_threads = 2;
/// How long the main thread looks for events before it sleeps, unless --busy-poll says otherwise (loop/busy_poll.h).
inline constexpr auto default_busy_poll = std::chrono::microseconds(200);

/// Whose words and habits the helper uses where it speaks: control socket's dialect, start-up texts, exit codes. Nothing else
/// depends on it; what a personality's defaults are, its command line has translated into the options below.
enum class Personality : std::uint8_t { native, slirp4netns };

/// Whether the guest's TCP connections take the kernel path: where it is possible, never, or always.
enum class KernelPathMode : std::uint8_t { automatic, off, require };

struct Options {
  Personality personality = Personality::native;
  TargetKind attach = TargetKind::pid;  ///< netns_path stands for --netns, path or fd
  std::string target;      ///< the value of --pid, --netns, --tap-fd or --tap-socket; the path of a frame_socket
  int target_pidfd = -1;   ///< kind pid: the process, held already; target is its number
  int bwrap_info_fd = -1;  ///< kind pid: target is still to be read from here
  std::string userns;      ///< --userns; empty: the owner of the network namespace
  std::string tap_name = "tap0";

  bool configure = true;
  bool leave_lo = false;
  unsigned mtu = default_mtu;
  std::optional<MacAddress> mac;
  Cidr cidr = Cidr::of(Address::v4(0x0a000200), 24);
  bool eui64_guest = false;  ///< the guest's IPv6 address is the prefix and its MAC, as by autoconfiguration, not ::100
  std::optional<Cidr> cidr6 = Cidr::of(Address::parse("fd00::").value(), 64);  ///< nullopt: --no-ipv6
  bool cidr6_given = false;
  /// `auto`: the networks above unless they overlap with the host's, else free ones (src/netlink/host_networks.h).
  bool choose_cidr = false, choose_cidr6 = false;

  std::vector<Address> dns;
  bool use_dns = true;
  bool allow_host_loopback = false;
  bool allow_link_local = false;
  std::string outbound_v4, outbound_v6;  ///< an address or an interface's name; empty: the kernel chooses
  KernelPathMode kernel_path = KernelPathMode::automatic;
  bool outbound_may_come = false;  ///< the host need not have that address at the start

  std::vector<RuleSpec> forwards;
  bool forward_to_loopback = false;  ///< rules without a guest address lead to the guest's loopback
  unsigned relay_threads = default_relay_threads;
  std::chrono::microseconds busy_poll = default_busy_poll;
  std::vector<ListenFd> listeners;  ///< inherited, for rules of the kind fd:NAME
  std::string api_socket;

  bool sandbox = false;  ///< empty root, no capability: confine/confine.h
  bool seccomp = false;  ///< only the system calls that are needed

  int ready_fd = -1;
  int exit_fd = -1;
  int sync_fd = -1;
  int block_fd = -1;
  int held_fd = -1;  ///< kept open, nothing else: a lock that lasts as long as the helper
  log::Level log_level = log::Level::info;
  bool log_json = false;
};

/// The descriptors that the options name; all others that were inherited are not ours to keep.
std::vector<int> named_descriptors(const Options& options);

/// A start that ends here: --help, --version.
struct PrintAndExit {
  std::string text;
};

struct CommandLine {
  std::optional<PrintAndExit> print;
  Options options;
};

/// invalid, with the option as the field: the rule that the command line breaks.
Result<CommandLine> parse_command_line(int argc, const char* const* argv);

}  // namespace nh
