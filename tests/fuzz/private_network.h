// SPDX-License-Identifier: BSD-3-Clause
// A network namespace of this process's own, so that nothing that a fuzzer makes libslirp do can
// reach a network.
#pragma once

#include "src/base/result.h"

namespace nh::test {

/// Puts the calling process, which must have one thread, into a new user and network namespace
/// whose only interface is lo. With `loopback`, lo is brought up. An error when the kernel does not
/// let us: then nothing may be run.
Result<> enter_private_network(bool loopback);

}  // namespace nh::test
