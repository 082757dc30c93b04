// SPDX-License-Identifier: BSD-3-Clause
// Capabilities (capabilities(7)) of the calling process.
#pragma once

#include <span>

#include "src/base/result.h"

namespace nh {

/// True if `capability` (of linux/capability.h) is in the effective set. It is valid in our user namespace and its descendants.
bool has_capability(unsigned capability);

/// Reduces the permitted and effective sets to `kept` (of those that are permitted now), the bounding set to `bounds` (if we have
/// CAP_SETPCAP), and clears the inheritable and ambient sets. Sets no_new_privs.
Result<> keep_capabilities(std::span<const unsigned> kept, std::span<const unsigned> bounds);

/// Keeps CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BIND_SERVICE in the permitted, effective and bounding sets: the guest
/// agent's.
Result<> keep_network_capabilities();

}  // namespace nh
