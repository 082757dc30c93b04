// SPDX-License-Identifier: BSD-3-Clause
// Capabilities (capabilities(7)) of the guest agent.
#pragma once

#include "src/base/result.h"

namespace nh {

/// Keeps CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BIND_SERVICE, as far as they are permitted, in the permitted, effective
/// and bounding sets; empties the inheritable and ambient ones; sets no_new_privs.
Result<> keep_network_capabilities();

}  // namespace nh
