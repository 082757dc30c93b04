// SPDX-License-Identifier: BSD-3-Clause
// RLIMIT_NOFILE (getrlimit(2)): each flow needs descriptors.
#pragma once

#include <cstdint>

#include "src/base/result.h"

namespace nh {

/// Raises the soft limit to the hard one; gives the limit that now holds.
Result<std::uint64_t> raise_nofile_limit();

}  // namespace nh
