// SPDX-License-Identifier: BSD-3-Clause
// GuardOracle: what must be true of every frame that the guard passes, checked without the guard's
// own code where that is possible. A frame that breaks a promise ends the program by abort(), which
// fuzzers understand.
#pragma once

#include "netstack/guard/frame_guard.h"

namespace nh::test {

/// Aborts with a message on standard error if `verdict` breaks a promise of FrameGuard.
void check_verdict(const GuardVerdict& verdict, const AddressPlan& plan);

}  // namespace nh::test
