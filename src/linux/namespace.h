// SPDX-License-Identifier: BSD-3-Clause
// Namespaces as file descriptors (namespaces(7), ioctl_ns(2)): opening, checking, comparing, joining.
#pragma once

#include <cstdint>
#include <string_view>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

enum class NamespaceType : std::uint8_t { user, net };

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

/// Same device and inode. An fd that cannot be looked at equals nothing.
bool same_namespace(int a, int b);
/// True if fd is the namespace of this type that we are in.
Result<bool> is_own_namespace(int fd, NamespaceType type);

/// setns(2). The caller must have a single thread for a user namespace.
Result<> join_namespace(int fd, NamespaceType type);

}  // namespace nh
