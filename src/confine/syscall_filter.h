// SPDX-License-Identifier: BSD-3-Clause
// Stage syscall_filter: seccomp(2) by libseccomp, with a list of what is allowed.
#pragma once

#include <span>

#include "src/base/result.h"
#include "src/confine/syscall_list.h"

namespace nh {

/// Should: kill the process at every system call of any of its threads that `rules` do not allow,
/// and at every call of another architecture or of the x32 table. Must not: change what is allowed; need a privilege
/// (no_new_privs is set). Errors: the kernel has no seccomp filters.
Result<> install_filter(std::span<const SyscallRule> rules);

}  // namespace nh
