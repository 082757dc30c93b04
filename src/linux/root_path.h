// SPDX-License-Identifier: BSD-3-Clause
// Paths inside a tree that somebody else fills (openat2(2), Linux 5.6): absolute links and ".." stay below its root, and the
// links of /proc are not followed. Where a path was made of links on purpose, the descriptor that comes back is still one of
// that tree.
#pragma once

#include <cstdint>
#include <string_view>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

/// open(2) with `flags` and O_CLOEXEC, "/" being `root`. The Error names the path.
Result<UniqueFd> open_in_root(int root, std::string_view path, int flags);
/// The same, and no symbolic link at all may be on the way: ELOOP.
Result<UniqueFd> open_in_root_no_links(int root, std::string_view path, int flags);

enum class MountPoint : std::uint8_t { directory, file };
/// An O_PATH descriptor of what `path` leads to; what is missing of it is made (directories 0755, a file 0644, less the
/// umask), also where a dangling link leads.
Result<UniqueFd> open_or_make_in_root(int root, std::string_view path, MountPoint kind);

}  // namespace nh
