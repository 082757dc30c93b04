// SPDX-License-Identifier: BSD-3-Clause
// Mounts by descriptor (open_tree(2), move_mount(2), mount_setattr(2), fsopen(2); Linux 5.12): what was looked at is what is
// mounted, and nothing that a path leads to can change in between. All of it needs CAP_SYS_ADMIN over the mount namespace.
//
// A detached tree (clone_tree, new_filesystem) belongs to its descriptor until attach() puts it somewhere; dropped before,
// it goes away.
#pragma once

#include <string>
#include <string_view>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

// ---- trees ----

/// A detached copy of what path leads to, seen from `at` (AT_FDCWD, or a directory); an empty path: `at` itself.
/// `recursive`: with all that is mounted below.
Result<UniqueFd> clone_tree(int at, const std::string& path, bool recursive);
/// A fresh file system, detached. `options` are mount(8)'s, parted by commas; `flags` are MS_ ones. The Error holds what the
/// file system itself said about it.
Result<UniqueFd> new_filesystem(const std::string& type, const std::string& source, std::string_view options,
                                unsigned long flags);
/// Puts a tree, detached or not, over `target` (an O_PATH descriptor).
Result<> attach(int tree, int target);
/// umount2(2) with MNT_DETACH of the mount that the descriptor is the root directory of.
Result<> detach(int mount);

// ---- flags ----

/// MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOSYMFOLLOW, MS_NODIRATIME and one of MS_NOATIME, MS_RELATIME,
/// MS_STRICTATIME are a mount's; others are a file system's, and ignored here. Sets flags, and clears others as far as they
/// are not locked (mount_namespaces(7)): a locked flag stays. In `recursive` on every mount of the tree.
Result<> change_flags(int mount, unsigned long set, unsigned long clear, bool recursive);
/// MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE, each with or without MS_REC.
Result<> set_propagation(int mount, unsigned long propagation);
/// "private", "rslave" and so on, and back; the Error of an unknown word: invalid. 0 is "".
Result<unsigned long> parse_propagation(std::string_view word, std::string_view field);
std::string propagation_name(unsigned long propagation);

/// statfs(2)'s f_type: PROC_SUPER_MAGIC and so on (linux/magic.h).
Result<long> filesystem_type(int fd);

}  // namespace nh
