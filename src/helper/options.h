// SPDX-License-Identifier: BSD-3-Clause
// Options: what a start was asked for, parsed and checked as far as that needs no look at the system. Every command line
// fills the same Options; nothing behind here knows how they were spelled.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "netstack/relay/forward_spec.h"
#include "src/base/address.h"
#include "src/base/log.h"
#include "src/linux/target.h"

namespace nh {

/// MTU of the TAP unless --mtu says otherwise; netns-helper.1 has the measurement behind it.
inline constexpr unsigned default_mtu = 1500;

struct Options {
  TargetKind attach = TargetKind::pid;  ///< netns_path stands for --netns, path or fd
  std::string target;                   ///< the value of --pid, --netns, --tap-fd or --tap-socket
  std::string userns;                   ///< --userns; empty: the owner of the network namespace
  std::string tap_name = "tap0";

  bool configure = true;
  bool leave_lo = false;
  unsigned mtu = default_mtu;
  std::optional<MacAddress> mac;
  Cidr cidr = Cidr::of(Address::v4(0x0a000200), 24);
  std::optional<Cidr> cidr6 = Cidr::of(Address::parse("fd00::").value(), 64);  ///< nullopt: --no-ipv6
  bool cidr6_given = false;

  std::vector<Address> dns;
  bool use_dns = true;
  bool allow_host_loopback = false;
  bool allow_link_local = false;
  std::string outbound_v4, outbound_v6;  ///< an address or an interface's name; empty: the kernel chooses

  std::vector<ForwardSpec> forwards;
  std::string api_socket;

  int ready_fd = -1;
  int exit_fd = -1;
  log::Level log_level = log::Level::info;
  bool log_json = false;
};

/// The descriptors that the options name; all others that were inherited are not ours to keep.
std::vector<int> named_descriptors(const Options& options);

/// A start that ends here: --help, --version.
struct PrintAndExit {
  std::string text;
};

/// Exit codes (netns-helper.1, EXIT STATUS).
inline constexpr int exit_asked = 0;    ///< help, version, or ended as asked: exit fd, signal, target gone
inline constexpr int exit_failure = 1;  ///< could not start, or cannot go on
inline constexpr int exit_usage = 2;    ///< the command line breaks a rule

struct CommandLine {
  std::optional<PrintAndExit> print;
  Options options;
};

/// invalid, with the option as the field: the rule that the command line breaks.
Result<CommandLine> parse_command_line(int argc, const char* const* argv);

}  // namespace nh
