// SPDX-License-Identifier: BSD-3-Clause
// Why mounting is forbidden, in words: AppArmor's restriction of user namespaces (Ubuntu 23.10 and later) lets them be made
// and then denies them every mount, with an errno that says nothing.
#pragma once

#include "src/base/result.h"

namespace nh::run {

/// Are we under that restriction?
bool is_restricted_by_apparmor();

/// Is it AppArmor's restriction, and is nothing of ours shared with the host (the mount at "/" has no peers)? Then going on
/// without is safe.
bool may_go_on_without_mounting(const Error& error);

/// The error with a block of what is known: ids, maps, setgroups, AppArmor's profile and switches, the mount at "/", and
/// advice. An Error that is not about permission comes back as it is.
Error explained(Error error);

}  // namespace nh::run
