// SPDX-License-Identifier: BSD-3-Clause
// Namespaces as file descriptors (namespaces(7), ioctl_ns(2)): their kinds, opening, checking, comparing, joining.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

enum class NamespaceType : std::uint8_t { user, pid, uts, ipc, net, cgroup, time, mount };

/// Every kind, in the order in which they are joined by default (namespace_steps.h).
inline constexpr std::array<NamespaceType, 8> all_namespace_types{
    NamespaceType::user, NamespaceType::pid,    NamespaceType::uts,  NamespaceType::ipc,
    NamespaceType::net,  NamespaceType::cgroup, NamespaceType::time, NamespaceType::mount};

/// Its place in a table of all kinds.
constexpr std::size_t index_of(NamespaceType type) {
  return static_cast<std::size_t>(type);
}

/// "user", "net", "pid", "mount", "ipc", "uts", "cgroup", "time": the words of our command line.
std::string_view namespace_name(NamespaceType type);
/// The kind of that name; also the names that the runtime-spec ("network") and /proc ("mnt") have. nullopt: no kind.
std::optional<NamespaceType> namespace_type(std::string_view name);
/// CLONE_NEWUSER and so on (clone(2)).
int clone_flag(NamespaceType type);
/// The file's name in /proc/PID/ns: "mnt" for mount, else namespace_name.
std::string_view proc_name(NamespaceType type);

/// Opens the namespace that an option names: digits alone are an inherited descriptor (which stays open; we keep a
/// close-on-exec copy), everything else is a path. `option` is the error's field. invalid: not a namespace of this
/// type.
Result<UniqueFd> open_namespace(std::string_view text, NamespaceType type, std::string_view option);

/// invalid: fd is not a namespace of this type (NS_GET_NSTYPE). `name` says in the message what fd is.
Result<> check_namespace(int fd, NamespaceType type, std::string_view name);

/// The user namespace that owns a namespace (NS_GET_USERNS): the one to join first. /proc/PID/ns/user is another one
/// when the target lives in a nested user namespace. denied: the owner is an ancestor of our own user namespace or
/// beside it; nothing could be joined there.
Result<UniqueFd> owner_of(int netns);

/// Same device and inode. False if fstat(2) of either fails.
bool same_namespace(int a, int b);
/// True if fd is the namespace of this type that we are in.
Result<bool> is_own_namespace(int fd, NamespaceType type);

/// setns(2). The caller must have a single thread for a user namespace.
Result<> join_namespace(int fd, NamespaceType type);

}  // namespace nh
