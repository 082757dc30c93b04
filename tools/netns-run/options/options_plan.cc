// SPDX-License-Identifier: BSD-3-Clause
#include <linux/capability.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <optional>

#include "tools/netns-run/bundle/bundle.h"
#include "tools/netns-run/bundle/capability_names.h"
#include "tools/netns-run/inside/host_name.h"
#include "tools/netns-run/inside/masks.h"
#include "tools/netns-run/options/raw_options.h"

namespace nh::run {
namespace {

const std::string& text_of(const RawOptions& raw, NamespaceType type) {
  return raw.namespaces[static_cast<std::size_t>(type)];
}

Result<> fill_namespaces(const RawOptions& raw, Plan& plan) {
  for (const NamespaceType type : all_namespace_types) {
    const std::string& text = text_of(raw, type);
    if (text.empty()) continue;
    NH_LET(entry, of_option(std::string(namespace_name(type)), parse_namespace_entry(type, text)));
    NH_TRY(plan.namespaces.set(type, entry));
  }
  if (raw.no_net && plan.namespaces.has(NamespaceType::net) && !plan.namespaces.is_fresh(NamespaceType::net))
    return option_error("no-net", "needs a new network namespace");
  // Whoever joins something needs the privilege that its owner gives.
  plan.namespaces.set_default(NamespaceType::user,
                              plan.namespaces.joins_any_but_user() ? NamespaceEntry::join_owner() : NamespaceEntry::fresh());
  for (const NamespaceType type :
       {NamespaceType::mount, NamespaceType::pid, NamespaceType::net, NamespaceType::ipc, NamespaceType::uts})
    plan.namespaces.set_default(type, NamespaceEntry::fresh());
  if (access("/proc/self/ns/cgroup", F_OK) == 0) plan.namespaces.set_default(NamespaceType::cgroup, NamespaceEntry::fresh());

  const struct {
    const std::string& name;
    const char* option;
    std::string& to;
  } names[] = {{raw.hostname, "hostname", plan.hostname}, {raw.domainname, "domainname", plan.domainname}};
  for (const auto& [name, option, to] : names) {
    if (name.empty()) continue;
    if (!plan.namespaces.is_fresh(NamespaceType::uts)) return option_error(option, "needs a new UTS namespace");
    if (const std::string fault = host_name_fault(name); !fault.empty()) return option_error(option, fault);
    to = name;
  }
  return Ok{};
}

Result<std::vector<IdRange>> parse_ranges(const std::vector<std::string>& texts, const std::string& option) {
  std::vector<IdRange> ranges;
  for (const std::string& text : texts) {
    NH_LET(range, of_option(option, parse_id_range(text, option)));
    ranges.push_back(range);
  }
  NH_TRY(of_option(option, check_id_ranges(ranges, option)));
  return ranges;
}

/// 0 where it exists inside, else the first id that does.
std::uint32_t id_inside(const std::vector<IdRange>& ranges) {
  const bool has_root = std::any_of(ranges.begin(), ranges.end(), [](const IdRange& range) { return range.inside == 0; });
  return has_root ? 0 : ranges.front().inside;
}

Result<> fill_ids(const RawOptions& raw, Plan& plan) {
  const bool explicit_map = !raw.uid_maps.empty() || !raw.gid_maps.empty();
  if (raw.map_auto + raw.map_root + raw.map_current + explicit_map > 1)
    return option_error("map-auto",
                        "only one of --map-auto, --map-root-user, --map-current-user and --uid-map with --gid-map");
  const bool any = raw.map_auto || raw.map_root || raw.map_current || explicit_map || !raw.setgroups.empty();
  if (!plan.namespaces.is_fresh(NamespaceType::user)) {
    if (any) return option_error("user", "ids are mapped in a new user namespace only");
    plan.ids.mode = IdMapPlan::Mode::none;
    plan.process.keep_ids = true;
    return Ok{};
  }
  if (raw.map_auto) plan.ids.mode = IdMapPlan::Mode::subordinate;
  if (raw.map_current) {
    plan.ids.mode = IdMapPlan::Mode::current;
    plan.process.uid = geteuid();
    plan.process.gid = getegid();
  }
  if (explicit_map) {
    if (raw.uid_maps.empty() || raw.gid_maps.empty()) return option_error("uid-map", "goes with --gid-map");
    plan.ids.mode = IdMapPlan::Mode::ranges;
    NH_LET(uids, parse_ranges(raw.uid_maps, "uid-map"));
    NH_LET(gids, parse_ranges(raw.gid_maps, "gid-map"));
    plan.process.uid = id_inside(uids);
    plan.process.gid = id_inside(gids);
    plan.ids.uids = std::move(uids);
    plan.ids.gids = std::move(gids);
  }
  if (!raw.setgroups.empty()) {
    NH_LET(allow, parse_word("setgroups", raw.setgroups, "allow", "deny"));
    plan.ids.setgroups = allow ? IdMapPlan::Setgroups::allow : IdMapPlan::Setgroups::deny;
  }
  return Ok{};
}

/// At the first colon; "\:" and "\\" stand for a colon and a backslash of a path's own. nullopt: there is no colon.
std::optional<std::pair<std::string, std::string>> split_mount(std::string_view text) {
  std::pair<std::string, std::string> parts;
  bool in_target = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escapes = text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == ':' || text[i + 1] == '\\');
    if (escapes) {
      ++i;
    } else if (text[i] == ':' && !in_target) {
      in_target = true;
      continue;
    }
    (in_target ? parts.second : parts.first) += text[i];
  }
  return in_target ? std::optional(parts) : std::nullopt;
}

Result<MountSpec> parse_mount(const std::string& option, const std::string& text) {
  MountSpec mount;
  if (option == "tmpfs") {
    mount.kind = MountSpec::Kind::tmpfs;
    mount.target = text;
    mount.set_flags = MS_NOSUID | MS_NODEV;
  } else {
    const auto parts = split_mount(text);
    if (!parts || parts->first.empty())
      return option_error(option, "SRC:DST, not " + text + " (a colon of SRC's own is written \\:)");
    mount.source = absolute(parts->first);
    mount.target = parts->second;
    if (option == "ro-bind") mount.set_flags = MS_RDONLY;
  }
  if (!mount.target.starts_with('/')) return option_error(option, "the path inside must be absolute: " + mount.target);
  return mount;
}

Result<> fill_root(const RawOptions& raw, Plan& plan) {
  RootPlan& root = plan.root;
  if (!plan.namespaces.is_fresh(NamespaceType::mount)) {
    if (!raw.root.empty() || raw.read_only || !raw.mounts.empty() || !raw.masks.empty() || !raw.read_only_paths.empty() ||
        raw.proc || raw.dev)
      return option_error("mount", "mounting needs a new mount namespace");
    return Ok{};
  }
  root.directory = raw.root.empty() ? "" : absolute(raw.root);
  root.read_only = raw.read_only;
  if (raw.proc && raw.no_proc) return option_error("proc", "contradicts --no-proc");
  if (raw.dev && raw.no_dev) return option_error("dev", "contradicts --no-dev");
  // The system's own first: what the user mounts may lie in there.
  if (raw.proc || (!raw.no_proc && (!root.directory.empty() || !plan.namespaces.is_host(NamespaceType::pid))))
    root.mounts.push_back(
        {.kind = MountSpec::Kind::proc, .source = "proc", .target = "/proc", .set_flags = MS_NOSUID | MS_NODEV | MS_NOEXEC});
  if (raw.dev || (!raw.no_dev && !root.directory.empty()))
    root.mounts.push_back({.kind = MountSpec::Kind::dev, .target = "/dev"});
  for (const auto& [option, text] : raw.mounts) {
    NH_LET(mount, parse_mount(option, text));
    root.mounts.push_back(std::move(mount));
  }
  if (!root.directory.empty() && !raw.no_default_masks) {
    root.masked = default_masked();
    root.read_only_paths = default_read_only();
  }
  NH_TRY(of_option("mask", check_absolute(raw.masks, "mask")));
  NH_TRY(of_option("read-only-path", check_absolute(raw.read_only_paths, "read-only-path")));
  root.masked.insert(root.masked.end(), raw.masks.begin(), raw.masks.end());
  root.read_only_paths.insert(root.read_only_paths.end(), raw.read_only_paths.begin(), raw.read_only_paths.end());
  root.write_hosts = !raw.hostname.empty() || !root.directory.empty();
  return Ok{};
}

Result<> fill_capabilities(const RawOptions& raw, const NamespaceSet& namespaces, ProcessPlan& process) {
  std::vector<unsigned> kept;
  if (raw.keep_caps) kept = all_capabilities();
  // Since Linux 5.12 uid 0 can be mapped into a nested user namespace only by a process with CAP_SETFCAP
  // (kernel/user_namespace.c, verify_root_map()): without it root inside could start no sandbox. It gives nothing else: file
  // capabilities are ignored under no_new_privs.
  if (namespaces.is_fresh(NamespaceType::user) && process.uid == 0) kept.push_back(CAP_SETFCAP);
  for (const std::string& text : raw.cap_add) {
    NH_LET(added, of_option("cap-add", parse_capability(text, "cap-add")));
    kept.insert(kept.end(), added.begin(), added.end());
  }
  for (const std::string& text : raw.cap_drop) {
    NH_LET(dropped, of_option("cap-drop", parse_capability(text, "cap-drop")));
    std::erase_if(kept, [&](unsigned one) { return std::find(dropped.begin(), dropped.end(), one) != dropped.end(); });
  }
  std::sort(kept.begin(), kept.end());
  kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
  // Ambient too: a command that is not root inside would lose them at exec.
  process.capabilities = {.bounding = kept, .effective = kept, .inheritable = kept, .permitted = kept, .ambient = kept};
  // In the bounding set only. Distributions give ping this file capability, and the kernel refuses to execute a file
  // whose capabilities the bounding set lacks; with no_new_privs it then runs without, and takes a ping socket.
  if (!std::binary_search(kept.begin(), kept.end(), unsigned{CAP_NET_RAW}) && raw.cap_drop.empty())
    process.capabilities.bounding.push_back(CAP_NET_RAW);
  return Ok{};
}

Result<> fill_process(const RawOptions& raw, Plan& plan) {
  ProcessPlan& process = plan.process;
  process.arguments = raw.command;
  if (process.arguments.empty())
    return Error{.code = Code::invalid, .what = "missing command: netns-run [OPTION...] [--] COMMAND [ARGUMENT...]"};
  for (const std::string& text : raw.environment) {
    const auto equals = text.find('=');
    if (equals == std::string::npos || equals == 0) return option_error("env", "NAME=VALUE, not " + text);
    process.set_environment.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  for (const std::string& name : raw.unset)
    if (name.find('=') != std::string::npos) return option_error("unsetenv", "a variable's name, not " + name);
  process.unset_environment = raw.unset;
  process.clear_environment = raw.clear_environment;
  process.directory = raw.directory;
  process.new_session = raw.new_session;
  if (raw.as_pid_1 && !plan.namespaces.is_fresh(NamespaceType::pid))
    return option_error("as-pid-1", "needs a new pid namespace");
  process.own_pid_1 = !raw.as_pid_1;
  return fill_capabilities(raw, plan.namespaces, process);
}

/// Options for what config.json determines are refused.
Result<Plan> bundle_plan(const RawOptions& raw) {
  for (const NamespaceType type : all_namespace_types)
    if (!text_of(raw, type).empty())
      return option_error(std::string(namespace_name(type)), "is config.json's to say with --bundle");
  const struct {
    bool given;
    const char* option;
  } bundles_own[] = {{raw.map_auto, "map-auto"},
                     {raw.map_root, "map-root-user"},
                     {raw.map_current, "map-current-user"},
                     {!raw.uid_maps.empty(), "uid-map"},
                     {!raw.gid_maps.empty(), "gid-map"},
                     {!raw.setgroups.empty(), "setgroups"},
                     {!raw.hostname.empty(), "hostname"},
                     {!raw.domainname.empty(), "domainname"},
                     {!raw.root.empty(), "root"},
                     {raw.read_only, "ro"},
                     {!raw.mounts.empty(), "bind, --ro-bind or --tmpfs"},
                     {raw.proc || raw.no_proc, "proc"},
                     {raw.dev || raw.no_dev, "dev"},
                     {raw.no_default_masks, "no-default-masks"},
                     {!raw.masks.empty(), "mask"},
                     {!raw.read_only_paths.empty(), "read-only-path"},
                     {!raw.environment.empty(), "env"},
                     {!raw.unset.empty(), "unsetenv"},
                     {raw.clear_environment, "clearenv"},
                     {!raw.directory.empty(), "chdir"},
                     {!raw.cap_add.empty(), "cap-add"},
                     {!raw.cap_drop.empty(), "cap-drop"},
                     {raw.keep_caps, "keep-caps"},
                     {!raw.userns_block_fd.empty(), "userns-block-fd"}};
  for (const auto& [given, option] : bundles_own)
    if (given) return option_error(option, "is config.json's to say with --bundle");
  if (!raw.command.empty()) return option_error("bundle", "the command is config.json's process.args");
  NH_LET(plan, read_bundle(raw.bundle));
  plan.process.new_session = raw.new_session;
  plan.process.own_pid_1 = !raw.as_pid_1;
  plan.process.find_home = true;  // as runc and crun do; the specification says nothing
  return plan;
}

}  // namespace

Result<bool> parse_word(const std::string& option, const std::string& text, const char* yes, const char* no) {
  if (text == yes) return true;
  if (text == no) return false;
  return option_error(option, std::string(yes) + " or " + no + ", not " + text);
}

std::string absolute(const std::string& path) {
  if (path.starts_with('/')) return path;
  char* const resolved = realpath(path.c_str(), nullptr);
  const std::string result = resolved == nullptr ? path : resolved;
  std::free(resolved);
  return result;
}

Error option_error(const std::string& option, const std::string& text) {
  return Error{.code = Code::invalid, .what = "--" + option + ": " + text, .field = option};
}

Result<Plan> plan_of(const RawOptions& raw) {
  Plan plan;
  if (!raw.bundle.empty()) {
    NH_LET(read, bundle_plan(raw));
    plan = std::move(read);
    NH_TRY(fill_network(raw, plan));
  } else {
    NH_TRY(fill_namespaces(raw, plan));
    NH_TRY(fill_ids(raw, plan));
    NH_TRY(fill_root(raw, plan));
    NH_TRY(fill_network(raw, plan));
    NH_TRY(fill_process(raw, plan));
  }
  NH_TRY(fill_status(raw, plan));
  return plan;
}

}  // namespace nh::run
