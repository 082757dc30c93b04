// SPDX-License-Identifier: BSD-3-Clause
#include "src/helper/options.h"

#include <fcntl.h>

#include <CLI/CLI.hpp>
#include <map>

#include "netstack/slirp/slirp_stack.h"
#include "src/base/limits.h"
#include "src/base/number.h"
#include "src/confine/confine.h"
#include "src/linux/tap.h"

namespace nh {
namespace {

// slirp_new refuses others (libslirp slirp.c: IF_MTU_MIN, IF_MTU_MAX).
constexpr std::uint64_t mtu_min = 68, mtu_max = 65521;

// The texts as CLI11 collects them; each becomes a type below.
struct Raw {
  std::string pid, netns, userns, tap_fd, tap_socket, tap_name = "tap0";
  std::string mtu, mac, cidr, cidr6, outbound, outbound6, kernel_path, api_socket, relay_threads, busy_poll,
      log_level;  // empty: not given
  std::string ready_fd, exit_fd, sync_fd, bwrap_info_fd, block_fd;
  std::vector<std::string> dns, forwards;
  bool no_configure = false, leave_lo = false, no_ipv6 = false, no_dns = false;
  bool allow_host_loopback = false, allow_link_local = false, forward_to_loopback = false, sandbox = false, seccomp = false,
       log_json = false, version = false;
};

void declare(CLI::App& app, Raw& raw) {
  app.set_help_flag("-h,--help", "Print this and exit");
  app.add_flag("-V,--version", raw.version, "Print the versions of netns-helper and libslirp and exit");
  app.add_option("TAPNAME", raw.tap_name, "Interface in the guest (tap0)");

  std::string group;
  const auto flag = [&](const char* name, bool& value, const char* help) { app.add_flag(name, value, help)->group(group); };
  // An empty value is a mistake of the caller (an unset variable), not the same as no option. A repeatable option takes one
  // value each time, or it would swallow TAPNAME.
  const auto not_empty = [](const std::string& value) {
    return value.empty() ? std::string("must not be empty") : std::string();
  };
  const auto option = [&](const char* name, auto& value, const char* help, const char* type) {
    app.add_option(name, value, help)->group(group)->type_name(type)->check(not_empty)->allow_extra_args(false);
  };

  group = "Attach (exactly one of the first five)";
  option("--pid", raw.pid, "The guest is the network namespace of this process", "PID");
  option("--netns", raw.netns, "The guest is this network namespace", "PATH|FD");
  option("--tap-fd", raw.tap_fd, "The guest's end is this inherited TAP", "FD");
  option("--tap-socket", raw.tap_socket, "Receive the TAP over this Unix socket (SCM_RIGHTS)", "PATH|FD");
  option("--bwrap-info-fd", raw.bwrap_info_fd, "The guest is bwrap's sandbox: what it writes as its info comes here", "FD");
  option("--userns", raw.userns, "User namespace to join (the owner of the network namespace)", "PATH|FD");

  group = "Configure";
  flag("--no-configure", raw.no_configure, "Leave the guest's interfaces alone");
  flag("--leave-lo", raw.leave_lo, "Leave lo alone");
  option("--mtu", raw.mtu, "MTU of the TAP, 68 to 65521", "N");
  option("--mac", raw.mac, "MAC address of the TAP", "MAC");
  option("--cidr", raw.cidr, "IPv4 network (10.0.2.0/24)", "CIDR|auto");
  option("--cidr6", raw.cidr6, "IPv6 network (fd00::/64)", "CIDR|auto");
  flag("--no-ipv6", raw.no_ipv6, "No IPv6");

  group = "Reach";
  option("--dns", raw.dns, "Resolver behind the DNS address; repeatable (those of resolv.conf)", "ADDR");
  flag("--no-dns", raw.no_dns, "No DNS address");
  flag("--allow-host-loopback", raw.allow_host_loopback, "The gateway address leads to the host's loopback");
  flag("--allow-link-local", raw.allow_link_local, "Let 169.254.0.0/16 and fe80::/10 through");
  option("--outbound-addr", raw.outbound, "IPv4 source of outgoing connections", "ADDR|IF");
  option("--outbound-addr6", raw.outbound6, "IPv6 source of outgoing connections", "ADDR|IF");
  option("--kernel-path", raw.kernel_path, "auto, off, or require: TCP by relays where possible, never, or always (auto)",
         "WAY");

  group = "Forward";
  option("--forward", raw.forwards,
         "[HOST:]PORTS[:[GUEST:]PORTS][/tcp|/udp|/both], unix:, fd:, auto or reverse:; repeatable", "RULE");
  flag("--forward-to-loopback", raw.forward_to_loopback, "Rules without a guest address lead to the guest's loopback");
  option("--api-socket", raw.api_socket, "Control socket", "PATH");

  group = "Speed";
  option("--busy-poll", raw.busy_poll, "Look for traffic this long before sleeping, 0 to 1000 us (200)", "MICROSECONDS");
  option("--relay-threads", raw.relay_threads, "Threads that move the bytes of large TCP flows, 0 to 16 (2)", "N");

  group = "Confine";
  flag("--sandbox", raw.sandbox, "See no file but resolver configuration, keep no capability but to bind low ports");
  flag("--seccomp", raw.seccomp, "Make no system call but those that are needed");

  group = "Life";
  option("--ready-fd", raw.ready_fd, "Gets one byte when the network is usable", "FD");
  option("--exit-fd", raw.exit_fd, "EOF or any event on it ends the helper", "FD");
  option("--sync-fd", raw.sync_fd, "EOF on it ends the helper", "FD");
  option("--block-fd", raw.block_fd,
         "Gets one byte when the network is usable; if it never is, the guest's process is killed", "FD");
  option("--log-level", raw.log_level, "error, warning, info or debug (info)", "LEVEL");
  flag("--log-json", raw.log_json, "Log JSON lines");
}

std::string version_text() {
  return "netns-helper version " NETNS_HELPER_VERSION "\nlibslirp: " + SlirpStack::library_version() +
         "\nSLIRP_CONFIG_VERSION: " + std::to_string(SlirpStack::config_version()) +
         "\nlibseccomp: " + seccomp_library_version() + "\n";
}

Error rule(std::string option, std::string text) {
  return Error{.code = Code::invalid, .what = "--" + option + ": " + std::move(text), .field = option};
}

// Gives the parse error of one option the option's name in front, as the user typed it.
template <class T>
Result<T> of_option(std::string_view option, Result<T> result) {
  if (result) return result;
  Error error = std::move(result).error().in("--" + std::string(option));
  error.field = option;
  return error;
}

Result<int> parse_fd(const std::string& text, std::string_view option) {
  if (text.empty()) return -1;
  NH_LET(value, of_option(option, parse_unsigned(text, 0, INT32_MAX, "file descriptor")));
  const int fd = static_cast<int>(value);
  if (fcntl(fd, F_GETFD) < 0) return rule(std::string(option), "file descriptor " + text + " is not open");
  return fd;
}

Result<> choose_target(const Raw& raw, Options& options) {
  const struct {
    const std::string& text;
    TargetKind kind;
  } ways[] = {{raw.pid, TargetKind::pid},
              {raw.bwrap_info_fd, TargetKind::pid},
              {raw.netns, TargetKind::netns_path},
              {raw.tap_fd, TargetKind::tap_fd},
              {raw.tap_socket, TargetKind::tap_socket}};
  int given = 0;
  for (const auto& way : ways) {
    if (way.text.empty()) continue;
    ++given;
    options.attach = way.kind;
    options.target = way.text;
  }
  if (given != 1)
    return Error{.code = Code::invalid,
                 .what = "name the guest by exactly one of --pid, --netns, --tap-fd, --tap-socket and --bwrap-info-fd",
                 .field = "pid"};
  NH_LET(bwrap_info_fd, parse_fd(raw.bwrap_info_fd, "bwrap-info-fd"));
  options.bwrap_info_fd = bwrap_info_fd;
  if (bwrap_info_fd >= 0) {
    options.target.clear();
    options.leave_lo = true;  // bwrap brings it up itself, and fails when somebody else was first
  }
  options.userns = raw.userns;
  options.tap_name = raw.tap_name;
  return check_interface_name(raw.tap_name);
}

Result<> fill_configuration(const Raw& raw, Options& options) {
  options.configure = !raw.no_configure;
  options.leave_lo = options.leave_lo || raw.leave_lo;
  if (!raw.mtu.empty()) {
    NH_LET(mtu, of_option("mtu", parse_unsigned(raw.mtu, mtu_min, mtu_max, "MTU")));
    options.mtu = static_cast<unsigned>(mtu);
  }
  if (!raw.mac.empty()) {
    if (raw.no_configure) return rule("mac", "needs the configuration that --no-configure switches off");
    NH_LET(mac, of_option("mac", MacAddress::parse(raw.mac)));
    options.mac = mac;
  }
  if (!raw.cidr.empty()) {
    options.choose_cidr = raw.cidr == "auto";
    if (!options.choose_cidr) {
      NH_LET(cidr, of_option("cidr", Cidr::parse(raw.cidr)));
      options.cidr = cidr;
    }
  }
  if (!raw.cidr6.empty()) {
    if (raw.no_ipv6) return rule("cidr6", "contradicts --no-ipv6");
    options.choose_cidr6 = raw.cidr6 == "auto";
    if (!options.choose_cidr6) {
      NH_LET(cidr6, of_option("cidr6", Cidr::parse(raw.cidr6)));
      options.cidr6 = cidr6;
      options.cidr6_given = true;
    }
  }
  if (raw.no_ipv6) options.cidr6.reset();
  return Ok{};
}

Result<> fill_reach(const Raw& raw, Options& options) {
  if (raw.no_dns && !raw.dns.empty()) return rule("dns", "contradicts --no-dns");
  options.use_dns = !raw.no_dns;
  for (const std::string& text : raw.dns) {
    NH_LET(address, of_option("dns", Address::parse(text)));
    options.dns.push_back(address);
  }
  options.allow_host_loopback = raw.allow_host_loopback;
  options.allow_link_local = raw.allow_link_local;
  options.outbound_v4 = raw.outbound;
  options.outbound_v6 = raw.outbound6;
  if (raw.kernel_path == "off")
    options.kernel_path = KernelPathMode::off;
  else if (raw.kernel_path == "require")
    options.kernel_path = KernelPathMode::require;
  else if (!raw.kernel_path.empty() && raw.kernel_path != "auto")
    return rule("kernel-path", "must be auto, off or require, not \"" + raw.kernel_path + "\"");
  return Ok{};
}

Result<> fill_life(const Raw& raw, Options& options) {
  for (const std::string& text : raw.forwards) {
    NH_LET(spec, of_option("forward", RuleSpec::parse(text)));
    options.forwards.push_back(std::move(spec));
  }
  options.forward_to_loopback = raw.forward_to_loopback;
  options.api_socket = raw.api_socket;
  if (!raw.relay_threads.empty()) {
    NH_LET(threads,
           of_option("relay-threads", parse_unsigned(raw.relay_threads, 0, limits::relay_threads, "number of threads")));
    options.relay_threads = static_cast<unsigned>(threads);
  }
  if (!raw.busy_poll.empty()) {
    constexpr auto longest = std::chrono::microseconds(limits::busy_poll);
    NH_LET(window, of_option("busy-poll", parse_unsigned(raw.busy_poll, 0, longest.count(), "number of microseconds")));
    options.busy_poll = std::chrono::microseconds(window);
  }
  options.sandbox = raw.sandbox;
  options.seccomp = raw.seccomp;
  const struct {
    const std::string& text;
    std::string_view option;
    int& fd;
  } descriptors[] = {{raw.ready_fd, "ready-fd", options.ready_fd},
                     {raw.exit_fd, "exit-fd", options.exit_fd},
                     {raw.sync_fd, "sync-fd", options.sync_fd},
                     {raw.block_fd, "block-fd", options.block_fd}};
  std::map<int, std::string_view> taken;
  if (options.bwrap_info_fd >= 0) taken.emplace(options.bwrap_info_fd, "bwrap-info-fd");
  for (const auto& [text, option, fd] : descriptors) {
    NH_LET(number, parse_fd(text, option));
    fd = number;
    if (fd < 0) continue;
    const auto [other, first] = taken.emplace(fd, option);
    if (!first) return rule(std::string(option), "is the same descriptor as --" + std::string(other->second));
  }
  if (options.block_fd >= 0 && options.attach != TargetKind::pid)
    return rule("block-fd", "needs a process that waits for it: --bwrap-info-fd or --pid");
  if (!raw.log_level.empty()) {
    NH_LET(level, of_option("log-level", log::parse_level(raw.log_level)));
    options.log_level = level;
  }
  options.log_json = raw.log_json;
  return Ok{};
}

}  // namespace

std::vector<int> named_descriptors(const Options& options) {
  std::vector<int> named{options.ready_fd,      options.exit_fd,      options.sync_fd, options.block_fd,
                         options.bwrap_info_fd, options.target_pidfd, options.held_fd};
  for (const ListenFd& listener : options.listeners) named.push_back(listener.fd);
  const bool process = options.attach == TargetKind::pid;
  // PATH|FD: digits alone are a descriptor.
  for (const std::string& text : {process ? std::string() : options.target, options.userns})
    if (const auto fd = parse_unsigned(text, 0, INT32_MAX, "fd")) named.push_back(static_cast<int>(*fd));
  return named;
}

Result<CommandLine> parse_command_line(int argc, const char* const* argv) {
  Raw raw;
  CLI::App app("Rootless user-mode networking for a network namespace.", "netns-helper");
  CommandLine line;
  // CLI11 reports by exceptions; they end here.
  try {
    declare(app, raw);
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    line.print = PrintAndExit{app.help()};
    return line;
  } catch (const CLI::Error& error) {
    return Error{.code = Code::invalid, .what = error.what()};
  }
  if (raw.version) {
    line.print = PrintAndExit{version_text()};
    return line;
  }
  NH_TRY(choose_target(raw, line.options));
  NH_TRY(fill_configuration(raw, line.options));
  NH_TRY(fill_reach(raw, line.options));
  NH_TRY(fill_life(raw, line.options));
  return line;
}

}  // namespace nh
