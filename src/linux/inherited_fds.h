// SPDX-License-Identifier: BSD-3-Clause
// What a caller forgot to close: a pipe's end that we kept would keep its reader waiting for our whole life.
#pragma once

#include <vector>

#include "src/base/result.h"

namespace nh {

/// Closes every descriptor above 2 but those in `kept` (close_range(2), Linux 5.9); values below 3 and those not open are ignored.
Result<> close_all_but(std::vector<int> kept);

/// The same descriptor under a number above 2; in its place is /dev/null. Otherwise its number would be free once it is closed,
/// given to a socket of ours, and written to as if it were standard error. Others, and -1, stay as they are.
Result<int> above_standard(int fd);

}  // namespace nh
