// SPDX-License-Identifier: BSD-3-Clause
// Mounts by descriptor (open_tree(2), move_mount(2), mount_setattr(2), fsopen(2); Linux 5.12): what was checked is what is
// mounted, whatever happens to its path in between. All of it needs CAP_SYS_ADMIN over the mount namespace.
//
// A detached tree (clone_tree, new_filesystem) belongs to its descriptor until attach(); closing the descriptor before
// unmounts it.
#pragma once

#include <string>
#include <string_view>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

// ---- trees ----

/// A detached copy of the mount at `path`, relative to `at` (AT_FDCWD, or a directory); an empty path: `at` itself.
/// `recursive`: with all mounts below it.
Result<UniqueFd> clone_tree(int at, const std::string& path, bool recursive);
/// A new file system, detached. `options` are mount(8)'s, separated by commas; `flags` are MS_ ones. The Error has the file
/// system's own messages.
Result<UniqueFd> new_filesystem(const std::string& type, const std::string& source, std::string_view options,
                                unsigned long flags);
/// Mounts a tree, detached or not, on `target` (an O_PATH descriptor).
Result<> attach(int tree, int target);
/// umount2(2) with MNT_DETACH of the mount whose root directory the descriptor is.
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
