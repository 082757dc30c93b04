// SPDX-License-Identifier: BSD-3-Clause
// A helper's whole life in this process, whoever has filled its options.
#pragma once

#include "src/helper/options.h"

namespace nh {

/// Closes what was inherited and is not named by an option, starts the helper, runs it to its end;
/// what fails is logged. Gives the exit code. Must run before any thread exists, once.
int serve(const Options& options);

}  // namespace nh
