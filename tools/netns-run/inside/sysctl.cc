// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/inside/sysctl.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "src/base/unique_fd.h"
#include "src/linux/mount.h"
#include "src/linux/root_path.h"

namespace nh::run {
namespace {

Error refused(std::string what) {
  return Error{.code = Code::invalid, .what = std::move(what), .field = "sysctl"};
}

/// As below /proc/sys: "net/ipv4/ip_forward".
std::string path_of(std::string_view name) {
  std::string path(name);
  const auto first = path.find_first_of("./");
  if (first == std::string::npos || path[first] == '/') return path;
  for (char& c : path) c = c == '.' ? '/' : c == '/' ? '.' : c;
  return path;
}

/// The namespace that owns it (ipc/ipc_sysctl.c, ipc/mq_sysctl.c; all of net/).
std::optional<NamespaceType> owner_of_sysctl(std::string_view path) {
  constexpr std::array<std::string_view, 11> ipc{"kernel/msgmax",      "kernel/msgmnb",          "kernel/msgmni",
                                                 "kernel/sem",         "kernel/shmall",          "kernel/shmmax",
                                                 "kernel/shmmni",      "kernel/shm_rmid_forced", "kernel/auto_msgmni",
                                                 "kernel/sem_next_id", "kernel/msg_next_id"};
  if (path.starts_with("net/")) return NamespaceType::net;
  if (path.starts_with("fs/mqueue/") || std::find(ipc.begin(), ipc.end(), path) != ipc.end()) return NamespaceType::ipc;
  return std::nullopt;
}

Result<> write_one(int proc_sys, const std::string& path, const std::string& value) {
  NH_LET(file, open_in_root_no_links(proc_sys, path, O_WRONLY));
  // One write: the kernel takes a value whole or not at all.
  if (write(file.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size()))
    return sys_error("writing \"" + value + "\"");
  return Ok{};
}

}  // namespace

Result<> check_sysctls(const Sysctls& sysctls, const NamespaceSet& namespaces) {
  for (const auto& [name, value] : sysctls) {
    const std::string path = path_of(name);
    if (path == "kernel/hostname" || path == "kernel/domainname")
      return refused("sysctl " + name + ": say it by the " + path.substr(path.find('/') + 1) + " itself");
    const auto owner = owner_of_sysctl(path);
    if (!owner || path.find("..") != std::string::npos)
      return refused("sysctl " + name + ": belongs to no namespace; it would change the host");
    if (namespaces.is_host(*owner))
      return refused("sysctl " + name + ": belongs to the " + std::string(namespace_name(*owner)) +
                     " namespace, which is the host's; it needs one of its own");
  }
  return Ok{};
}

Result<> write_sysctls(const Sysctls& sysctls, int proc_sys) {
  NH_LET(type, filesystem_type(proc_sys));
  if (type != PROC_SUPER_MAGIC)
    return Error{.code = Code::denied, .what = "/proc/sys is not of a proc file system", .field = "sysctl"};
  for (const auto& [name, value] : sysctls)
    if (auto done = write_one(proc_sys, path_of(name), value); !done) {
      Error error = std::move(done).error().in("sysctl " + name);
      error.field = "sysctl";
      return error;
    }
  return Ok{};
}

}  // namespace nh::run
