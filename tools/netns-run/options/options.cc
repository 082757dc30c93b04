// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/options/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <span>

#include "tools/netns-run/options/raw_options.h"

namespace nh::run {
namespace {

/// Declares the options on an App, by groups; each declaration is one line of --help.
class Declaration {
 public:
  Declaration(CLI::App& app, RawOptions& raw) : app_(app), raw_(raw) {
    app.set_help_flag("-h,--help", "Print this and exit");
    namespaces();
    ids();
    root();
    process();
    network();
    programs();
    other();
  }

  /// --bind, --ro-bind and --tmpfs in the order in which they were given: a later mount may lie in an earlier one.
  std::vector<std::pair<std::string, std::string>> mounts_in_order() const {
    std::vector<std::pair<std::string, std::string>> mounts;
    std::map<const CLI::Option*, std::size_t> seen;
    for (const CLI::Option* option : app_.parse_order()) {
      const std::string name = option->get_lnames().empty() ? "" : option->get_lnames().front();
      if (name == "bind" || name == "ro-bind" || name == "tmpfs")
        mounts.emplace_back(name, option->results().at(seen[option]++));
    }
    return mounts;
  }

 private:
  void flag(const char* name, bool& value, const char* help) { app_.add_flag(name, value, help)->group(group_); }
  // An empty value is a mistake of the caller (an unset variable), not the same as no option. A repeatable option takes one
  // value each time, or it would swallow the command.
  template <class T>
  void option(const char* name, T& value, const char* help, const char* type) {
    const auto not_empty = [](const std::string& text) {
      return text.empty() ? std::string("must not be empty") : std::string();
    };
    app_.add_option(name, value, help)->group(group_)->type_name(type)->check(not_empty)->allow_extra_args(false);
  }

  void namespaces() {
    group_ = "Namespaces (MODE: new, host, join:PATH, join:fd:N, join:pid:N)";
    static constexpr std::array<std::pair<NamespaceType, const char*>, 8> helps{
        {{NamespaceType::user, "User namespace (new; where another kind is joined: its owner, join:owner)"},
         {NamespaceType::mount, "Mount namespace (new)"},
         {NamespaceType::pid, "Pid namespace (new)"},
         {NamespaceType::net, "Network namespace (new)"},
         {NamespaceType::ipc, "IPC namespace (new)"},
         {NamespaceType::uts, "UTS namespace (new)"},
         {NamespaceType::cgroup, "Cgroup namespace (new)"},
         {NamespaceType::time, "Time namespace (host)"}}};
    for (const auto& [type, help] : helps) {
      const std::string name = "--" + std::string(namespace_name(type));
      option(name.c_str(), raw_.namespaces[static_cast<std::size_t>(type)], help, "MODE");
    }
    option("--hostname", raw_.hostname, "Name of the host inside", "NAME");
    option("--domainname", raw_.domainname, "NIS domain name inside", "NAME");
  }

  void ids() {
    group_ = "Ids of a new user namespace";
    flag("--map-root-user", raw_.map_root, "The caller is root inside, no other ids are mapped (the default)");
    flag("--map-current-user", raw_.map_current, "The caller keeps its ids inside, no others are mapped");
    flag("--map-auto", raw_.map_auto, "The caller is root inside; its ids of /etc/subuid and /etc/subgid follow from 1 on");
    option("--uid-map", raw_.uid_maps, "These uids; repeatable, needs --gid-map", "IN:OUT:COUNT");
    option("--gid-map", raw_.gid_maps, "These gids; repeatable, needs --uid-map", "IN:OUT:COUNT");
    option("--setgroups", raw_.setgroups, "setgroups(2) inside (allow where more than the caller's gid is mapped)",
           "allow|deny");
  }

  void root() {
    group_ = "Root";
    option("--root", raw_.root, "This directory is /", "DIR");
    flag("--ro", raw_.read_only, "/ is read-only");
    option("--bind", mount_values_, "Show a file or directory of the host; repeatable", "SRC:DST");
    option("--ro-bind", mount_values_, "The same, read-only; repeatable", "SRC:DST");
    option("--tmpfs", mount_values_, "An empty tmpfs; repeatable", "DST");
    flag("--proc", raw_.proc, "A new /proc (the default with a new or joined pid namespace or --root)");
    flag("--no-proc", raw_.no_proc, "No new /proc");
    flag("--dev", raw_.dev, "A minimal /dev (the default with --root)");
    flag("--no-dev", raw_.no_dev, "No new /dev");
    option("--mask", raw_.masks, "Hide what is at this path; repeatable", "PATH");
    option("--read-only-path", raw_.read_only_paths, "Make this path read-only; repeatable", "PATH");
    flag("--no-default-masks", raw_.no_default_masks, "Leave out the masked and read-only paths that --root brings");
  }

  void process() {
    group_ = "Process";
    option("--env", raw_.environment, "Set a variable; repeatable", "NAME=VALUE");
    option("--unsetenv", raw_.unset, "Remove a variable; repeatable", "NAME");
    flag("--clearenv", raw_.clear_environment, "Start from an empty environment");
    option("--chdir", raw_.directory, "Working directory inside", "DIR");
    option("--cap-add", raw_.cap_add, "Keep a capability (setfcap for root, else none); repeatable", "CAP|ALL");
    option("--cap-drop", raw_.cap_drop, "Do not keep it; repeatable", "CAP|ALL");
    flag("--keep-caps", raw_.keep_caps, "Keep every capability over the namespaces");
    flag("--new-session", raw_.new_session, "A new session, without the terminal");
    flag("--as-pid-1", raw_.as_pid_1, "The command is pid 1 of its pid namespace, without a reaper");
    option("--kill-child", raw_.kill_child, "Kill the command if netns-run is killed (yes)", "yes|no");
  }

  void network() {
    group_ = "Network";
    flag("--no-net", raw_.no_net, "Loopback only, no helper");
    option("-p,--publish", raw_.publish, "Lead a port of the host inside, a rule of netns-helper's --forward; repeatable",
           "SPEC");
    option("--net-plan", raw_.net_plan, "Addresses: the helper's, or a /30 chosen at random (helper)", "helper|private");
    option("--helper", raw_.helper, "The netns-helper to start (beside netns-run, then PATH)", "PATH");
    option("--confine-helper", raw_.confine_helper,
           "Keep the helper from the host's files, and to the system calls that it needs (yes)", "yes|no");
    option("--on-helper-exit", raw_.on_helper_exit, "If the helper ends early: kill or keep the command (kill)",
           "kill|keep");
    option("--mtu", raw_.mtu, "MTU of the TAP (1500)", "N");
    option("--cidr", raw_.cidr, "IPv4 network (auto: 10.0.2.0/24 unless the host uses it)", "CIDR|auto");
    option("--cidr6", raw_.cidr6, "IPv6 network (auto: fd00::/64 unless the host uses it)", "CIDR|auto");
    flag("--no-ipv6", raw_.no_ipv6, "No IPv6");
    option("--dns", raw_.dns, "Resolver behind the DNS address; repeatable", "ADDR");
    flag("--no-dns", raw_.no_dns, "No DNS address; resolv.conf stays as it is");
    flag("--allow-host-loopback", raw_.allow_host_loopback, "The gateway address leads to the host's loopback");
    flag("--allow-link-local", raw_.allow_link_local, "Let 169.254.0.0/16 and fe80::/10 through");
    option("--outbound-addr", raw_.outbound, "IPv4 source of outgoing connections", "ADDR|IF");
    option("--outbound-addr6", raw_.outbound6, "IPv6 source of outgoing connections", "ADDR|IF");
    option("--api-socket", raw_.api_socket, "The helper's control socket", "PATH");
    option("--helper-option", raw_.helper_options, "Another word for the helper, --helper-option=--x=y; repeatable", "WORD");
  }

  void programs() {
    group_ = "For programs";
    option("--info-fd", raw_.info_fd, "One JSON object about the command's namespaces is written there", "FD");
    option("--json-status-fd", raw_.json_status_fd, "JSON lines are written there: the same, and the exit code", "FD");
    option("--block-fd", raw_.block_fd, "The command starts when this can be read", "FD");
    option("--userns-block-fd", raw_.userns_block_fd, "Map no ids, wait until this can be read", "FD");
    option("--sync-fd", raw_.sync_fd, "Held open until the command ends", "FD");
    option("--pid-file", raw_.pid_file, "Write the pid of the command's pid 1, as the host has it", "FILE");
    option("--bundle", raw_.bundle, "Take namespaces, root and process from this OCI bundle's config.json", "DIR");
  }

  void other() {
    group_ = "Other";
    flag("--doctor", raw_.doctor, "Check what this host allows, and print how to mend the rest");
    flag("--json", raw_.json, "--doctor as JSON");
    flag("-V,--version", raw_.version, "Print the version and exit");
    option("--log-level", raw_.log_level, "error, warning, info or debug (warning); the helper's too", "LEVEL");
  }

  CLI::App& app_;
  RawOptions& raw_;
  std::string group_;
  std::vector<std::string> mount_values_;  // of all three mount options; mounts_in_order() tells them apart
};

class Help : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App*, std::string name) const override {
    return "Usage: " + name + " [OPTION...] [--] COMMAND [ARGUMENT...]\n\n";
  }
};

/// The command: the words from the first one on that is no option, and all behind "--".
Result<std::vector<std::string>> command_of(std::vector<std::string> unknown, bool marked,
                                            std::span<const char* const> rest) {
  if (!unknown.empty() && unknown.front().starts_with('-'))
    return Error{.code = Code::invalid, .what = "unknown option " + unknown.front()};
  if (!unknown.empty() && marked) unknown.emplace_back("--");
  unknown.insert(unknown.end(), rest.begin(), rest.end());
  return unknown;
}

}  // namespace

Result<CommandLine> parse_command_line(int argc, const char* const* argv) {
  const std::span<const char* const> words(argv, static_cast<std::size_t>(argc));
  const auto mark = std::find(words.begin(), words.end(), std::string_view("--"));
  const auto ours = static_cast<std::size_t>(mark - words.begin());
  const bool marked = mark != words.end();

  RawOptions raw;
  CLI::App app("Runs a command in namespaces of its own, with its network ready.", "netns-run");
  app.formatter(std::make_shared<Help>());
  CommandLine line;
  // CLI11 reports by exceptions; they end here.
  try {
    app.prefix_command();
    const Declaration declaration(app, raw);
    app.parse(static_cast<int>(ours), argv);
    raw.mounts = declaration.mounts_in_order();
    NH_LET(command, command_of(app.remaining(), marked, words.subspan(marked ? ours + 1 : ours)));
    raw.command = std::move(command);
  } catch (const CLI::CallForHelp&) {
    line.action = CommandLine::Action::print;
    line.text = app.help();
    return line;
  } catch (const CLI::Error& error) {
    return Error{.code = Code::invalid, .what = error.what()};
  }
  if (raw.version) {
    line.action = CommandLine::Action::print;
    line.text = "netns-run version " NETNS_HELPER_VERSION "\n";
    return line;
  }
  if (!raw.log_level.empty()) {
    NH_LET(level, of_option("log-level", log::parse_level(raw.log_level)));
    line.log_level = level;
  }
  if (raw.json && !raw.doctor) return option_error("json", "needs --doctor");
  if (raw.doctor) {
    line.action = CommandLine::Action::doctor;
    line.json = raw.json;
    return line;
  }
  NH_LET(plan, plan_of(raw));
  line.plan = std::move(plan);
  line.plan.network.helper_options.insert(line.plan.network.helper_options.begin(),
                                          "--log-level=" + (raw.log_level.empty() ? std::string("warning") : raw.log_level));
  return line;
}

}  // namespace nh::run
