// SPDX-License-Identifier: BSD-3-Clause
// Capabilities (capabilities(7)) of the calling process.
#pragma once

#include <span>

#include "src/base/result.h"

namespace nh {

/// Is it in the effective set? It counts in our user namespace and those below. `capability` is one of linux/capability.h.
bool has_capability(unsigned capability);

/// Leaves `kept`, as far as they are permitted, in the permitted and effective sets, `bounds` in the bounding set (as far as
/// we may lower that one), and nothing in the inheritable and ambient ones. Sets no_new_privs.
Result<> keep_capabilities(std::span<const unsigned> kept, std::span<const unsigned> bounds);

/// Keeps CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BIND_SERVICE in the permitted, effective and bounding sets: the guest
/// agent's.
Result<> keep_network_capabilities();

}  // namespace nh
