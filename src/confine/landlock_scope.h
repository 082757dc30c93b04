// SPDX-License-Identifier: BSD-3-Clause
// Stage landlock_scope: the helper is in the host's network namespace, where X11, D-Bus and others listen on abstract Unix
// sockets, which a mount namespace does not hide (landlock(7), scopes, ABI 6, Linux 6.12).
#pragma once

#include <cstdint>
#include <string>

#include "src/base/result.h"

namespace nh {

enum class LandlockScope : std::uint8_t {
  abstract_sockets,
  /// Not for a process with children from before: the kernel checks the signal of PR_SET_PDEATHSIG
  /// as one that the dying parent sends (kernel/exit.c, reparent_leader), and the scope would keep
  /// the child alive.
  abstract_sockets_and_signals
};

/// Should: keep the caller from connecting to abstract Unix sockets that others made, and as the
/// case may be from sending signals to others. Must not: fail where the kernel is older or built
/// without Landlock; the text then says so, else it is empty. Needs no_new_privs.
Result<std::string> enter_landlock_scope(LandlockScope scope);

}  // namespace nh
