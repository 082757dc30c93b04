// SPDX-License-Identifier: BSD-3-Clause
// A guard on its test bench: with the plan of the tests, a clock that stands still, and the guest's
// usual addresses.
#pragma once

#include "netstack/guard/frame_guard.h"
#include "tests/support/frames.h"

namespace nh::test {

class BenchGuard {
 public:
  explicit BenchGuard(const GuardSetup& setup = {.plan = plan()}) : guard(setup, clock) {
    guard.set_sources({addr("10.0.2.100"), addr("fd00::100")});
  }

  /// The frame as the guard left it stays here until the next call.
  GuardVerdict take(Frame given) {
    frame = std::move(given);
    frame.shrink_to_fit();  // so that AddressSanitizer sees the first byte too many
    return guard.inspect(frame);
  }
  bool passes(Frame given) { return take(std::move(given)).action == GuardAction::pass; }
  /// True if the frame is dropped, and for this reason.
  bool drops(Frame given, DropReason reason) {
    const std::uint64_t before = of(reason);
    return take(std::move(given)).action == GuardAction::drop && of(reason) == before + 1;
  }
  std::uint64_t of(DropReason reason) const { return guard.drops().of(reason); }

  ManualClock clock;
  FrameGuard guard;
  Frame frame;
};

}  // namespace nh::test
