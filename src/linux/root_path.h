// SPDX-License-Identifier: BSD-3-Clause
// Opening paths inside a tree whose content is not trusted (openat2(2), Linux 5.6): absolute links and ".." stay below its root,
// and the magic links of /proc are not followed, so that every descriptor is one of that tree.
#pragma once

#include <cstdint>
#include <string_view>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

/// open(2) with `flags` and O_CLOEXEC, "/" being `root`. The Error names the path.
Result<UniqueFd> open_in_root(int root, std::string_view path, int flags);
/// The same without following any symbolic link: ELOOP.
Result<UniqueFd> open_in_root_no_links(int root, std::string_view path, int flags);

enum class MountPoint : std::uint8_t { directory, file };
/// An O_PATH descriptor of `path`; missing directories and a missing file are made (0755, 0644, less the umask), also at the
/// target of a dangling link.
Result<UniqueFd> open_or_make_in_root(int root, std::string_view path, MountPoint kind);

}  // namespace nh
