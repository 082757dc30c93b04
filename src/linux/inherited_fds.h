// SPDX-License-Identifier: BSD-3-Clause
// Descriptors that the caller has left open. If we kept the write end of a pipe, its reader would not see its end while we run.
#pragma once

#include <vector>

#include "src/base/result.h"

namespace nh {

/// Closes every descriptor above 2 but those in `kept` (close_range(2), Linux 5.9); values below 3 and those not open are ignored.
Result<> close_all_but(std::vector<int> kept);

/// Moves a descriptor 0, 1 or 2 to a number above 2 and opens /dev/null in its place. Otherwise, once closed, its number could
/// become a socket of ours, to which messages for standard error would be written. Others, and -1, are returned unchanged.
Result<int> above_standard(int fd);

}  // namespace nh
