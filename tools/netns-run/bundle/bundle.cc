// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/bundle/bundle.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>

#include "src/base/limits.h"
#include "src/base/unique_fd.h"
#include "src/linux/mount.h"
#include "tools/netns-run/bundle/bundle_parts.h"
#include "tools/netns-run/inside/host_name.h"
#include "tools/netns-run/inside/masks.h"
#include "tools/netns-run/inside/sysctl.h"

namespace nh::run {
namespace {

Result<std::string> read_config(const std::string& path) {
  // A fifo would keep us waiting for who writes it.
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat about {};
  if (!file || fstat(file.get(), &about) != 0) return sys_error("opening " + path);
  if (!S_ISREG(about.st_mode)) return Error{.code = Code::invalid, .what = path + " is not a file"};
  std::string text;
  std::array<char, 16384> part{};
  ssize_t size = 0;
  while ((size = read(file.get(), part.data(), part.size())) > 0) {
    text.append(part.data(), static_cast<std::size_t>(size));
    if (text.size() > limits::oci_config)
      return Error{.code = Code::exhausted,
                   .what = path + " is larger than " + std::to_string(limits::oci_config) + " bytes"};
  }
  if (size < 0) return sys_error("reading " + path);
  return text;
}

/// "1.0.2-dev": the specification is compatible within a major version.
Result<> check_version(const JsonPlace& place) {
  const auto read = text(place);  // not NH_LET: GCC 12 takes a string that was moved out for one that was never made
  if (!read) return read.error();
  const std::string_view version = *read;
  const bool is_first = version.starts_with("1.") && version.size() > 2 && version[2] >= '0' && version[2] <= '9';
  if (is_first) return Ok{};
  return unsupported_member(place, "is not supported: " + shown(version) + " (1.x is)");
}

/// Devices by path and number; the default ones are there anyway (config-linux.md, "Default Devices").
Result<> check_devices(const JsonPlace& devices) {
  struct Default {
    std::string_view path;
    std::uint64_t major_number, minor_number;
  };
  constexpr std::array<Default, 6> defaults{{{"/dev/null", 1, 3},
                                             {"/dev/zero", 1, 5},
                                             {"/dev/full", 1, 7},
                                             {"/dev/random", 1, 8},
                                             {"/dev/urandom", 1, 9},
                                             {"/dev/tty", 5, 0}}};
  return for_each(devices, [&defaults](const JsonPlace& entry) -> Result<> {
    NH_LET(path, text(entry["path"]));
    NH_LET(type, text(entry["type"]));
    const bool is_default = std::any_of(defaults.begin(), defaults.end(), [&](const Default& device) {
      const auto major_number = number(entry["major"], 0, UINT32_MAX), minor_number = number(entry["minor"], 0, UINT32_MAX);
      return device.path == path && type == "c" && major_number && *major_number == device.major_number && minor_number &&
             *minor_number == device.minor_number;
    });
    if (!is_default) return unsupported_member(entry, "is not supported: " + path + " is not one of the default devices");
    return Ok{};
  });
}

/// Nothing that limits or grants: every member is empty, but for device rules that only deny.
Result<> check_resources(const JsonPlace& resources) {
  NH_TRY(must_be_object(resources));
  if (!resources.is_there()) return Ok{};
  for (const auto& [name, value] : resources.value->items()) {
    const JsonPlace member = resources[name];
    if (name != "devices" && !member.asks_for_nothing())
      return unsupported_member(member, "is not supported: control groups are not ours to set");
  }
  return for_each(resources["devices"], [](const JsonPlace& rule) -> Result<> {
    NH_LET(allow, truth(rule["allow"], false));
    const bool is_general = !rule["major"].is_there() && !rule["minor"].is_there();
    if (allow || !is_general)
      return unsupported_member(rule, "is not supported: the only device rule that we take denies all devices");
    return Ok{};
  });
}

Result<> read_linux(const JsonPlace& part, Plan& plan) {
  NH_TRY(must_be_object(part));
  constexpr std::array<std::string_view, 8> not_supported{"cgroupsPath", "seccomp",     "intelRdt",   "personality",
                                                          "mountLabel",  "timeOffsets", "netDevices", "memoryPolicy"};
  NH_TRY(refuse_members(part, not_supported));
  NH_TRY(check_devices(part["devices"]));
  NH_TRY(check_resources(part["resources"]));

  NH_LET(namespaces, bundle_namespaces(part["namespaces"]));
  if (!namespaces.is_fresh(NamespaceType::mount))
    return unsupported_member(part["namespaces"], "has no new mount namespace: the root cannot be made without one");
  NH_LET(ids, bundle_ids(part, namespaces));
  plan.namespaces = namespaces;
  plan.ids = std::move(ids);
  plan.network.kind = namespaces.is_fresh(NamespaceType::net)    ? NetworkPlan::Kind::loopback
                      : namespaces.is_joined(NamespaceType::net) ? NetworkPlan::Kind::joined
                                                                 : NetworkPlan::Kind::host;

  NH_LET(masked, texts(part["maskedPaths"]));
  NH_LET(read_only_paths, texts(part["readonlyPaths"]));
  NH_TRY(check_absolute(masked, part["maskedPaths"].path));
  NH_TRY(check_absolute(read_only_paths, part["readonlyPaths"].path));
  plan.root.masked = std::move(masked);
  plan.root.read_only_paths = std::move(read_only_paths);

  NH_LET(propagation, text(part["rootfsPropagation"], ""));
  if (!propagation.empty()) {
    NH_LET(flags, parse_propagation(propagation, part["rootfsPropagation"].path));
    plan.root.propagation = flags;
  }
  const JsonPlace sysctl = part["sysctl"];
  NH_TRY(must_be_object(sysctl));
  if (sysctl.is_there())
    for (const auto& [name, value] : sysctl.value->items()) {
      NH_LET(setting, text(sysctl[name]));
      plan.root.sysctls.emplace_back(name, setting);
    }
  if (auto fits = check_sysctls(plan.root.sysctls, namespaces); !fits) {
    Error error = std::move(fits).error().in(sysctl.path);
    error.field = sysctl.path;
    return error;
  }
  return Ok{};
}

Result<> read_names(const JsonPlace& config, Plan& plan) {
  for (const auto& [name, into] : {std::pair("hostname", &plan.hostname), std::pair("domainname", &plan.domainname)}) {
    NH_LET(value, text(config[name], ""));
    if (const std::string fault = host_name_fault(value); !fault.empty()) return invalid_member(config[name], fault);
    if (!value.empty() && plan.namespaces.is_host(NamespaceType::uts))
      return invalid_member(config[name], "needs a uts namespace among linux.namespaces");
    *into = value;
  }
  return Ok{};
}

bool is_dev(std::string target) {
  while (target.size() > 1 && target.ends_with('/')) target.pop_back();
  return target == "/dev";
}

Result<> read_root(const JsonPlace& config, const std::string& directory, Plan& plan) {
  const JsonPlace root = config["root"];
  if (!root.is_there()) return invalid_member(root, "is missing");
  NH_TRY(must_be_object(root));
  NH_LET(path, text(root["path"]));
  if (path.empty()) return invalid_member(root["path"], "is empty");
  plan.root.directory = absolute(path, directory);
  NH_LET(read_only, truth(root["readonly"], false));
  plan.root.read_only = read_only;
  NH_LET(mounts, bundle_mounts(config["mounts"], directory));
  plan.root.mounts = std::move(mounts);
  // A /dev that is bound from the host has its devices.
  plan.root.default_devices = std::none_of(plan.root.mounts.begin(), plan.root.mounts.end(), [](const MountSpec& mount) {
    return mount.kind == MountSpec::Kind::bind && is_dev(mount.target);
  });
  return Ok{};
}

Result<Plan> plan_of_config(const JsonPlace& config, const std::string& directory) {
  if (!config.value->is_object()) return Error{.code = Code::invalid, .what = "must be a JSON object"};
  NH_TRY(check_version(config["ociVersion"]));
  constexpr std::array<std::string_view, 6> not_supported{"hooks", "solaris", "windows", "vm", "zos", "freebsd"};
  NH_TRY(refuse_members(config, not_supported));
  Plan plan;
  NH_LET(process, bundle_process(config["process"]));
  plan.process = std::move(process);
  NH_TRY(read_root(config, directory, plan));
  NH_TRY(read_linux(config["linux"], plan));
  NH_TRY(read_names(config, plan));
  return plan;
}

}  // namespace

Result<Plan> parse_bundle(std::string_view text, const std::string& directory) {
  auto parsed =
      parse_checked(text, {.depth = limits::oci_depth, .values = limits::oci_values, .members = limits::oci_values});
  if (!parsed) return std::move(parsed).error().in("config.json");
  auto plan = plan_of_config({.value = &*parsed, .path = ""}, directory);
  if (!plan) return std::move(plan).error().in("config.json");
  return plan;
}

Result<Plan> read_bundle(const std::string& directory) {
  std::array<char, PATH_MAX> absolute{};
  if (realpath(directory.c_str(), absolute.data()) == nullptr) return sys_error("looking for the bundle " + directory);
  NH_LET(text, read_config(std::string(absolute.data()) + "/config.json"));
  return parse_bundle(text, absolute.data());
}

}  // namespace nh::run
