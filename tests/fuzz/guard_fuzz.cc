// SPDX-License-Identifier: BSD-3-Clause
// The guard alone: whatever frames come, it reads nothing outside them, and what it passes keeps
// its promises.
#include <cstdio>

#include "tests/fuzz/frame_maker.h"
#include "tests/fuzz/fuzz_driver.h"
#include "tests/fuzz/guard_oracle.h"

using namespace nh;
using namespace nh::test;

namespace {

// One guard for the program's life: reassembly and time go on from frame to frame.
struct Bench {
  AddressPlan addresses = plan();
  ManualClock clock;
  FrameGuard guard{{.plan = addresses}, clock};
  std::uint64_t passed = 0, held = 0;

  Bench() { guard.set_sources({addr("10.0.2.100"), addr("fd00::100")}); }

  void take(Frame frame) {
    frame.shrink_to_fit();  // so that AddressSanitizer sees the first byte too many
    const GuardVerdict verdict = guard.inspect(frame);
    check_verdict(verdict, addresses);
    if (verdict.action == GuardAction::pass) ++passed;
    if (verdict.action == GuardAction::hold) ++held;
    clock.advance(std::chrono::milliseconds(10));
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Bench bench;
  for_each_frame({data, size}, [](Bytes frame) { bench.take({frame.begin(), frame.end()}); });
  return 0;
}

#ifndef NETNS_HELPER_LIBFUZZER
int main(int argc, char** argv) {
  const FuzzRun run = fuzz_run(argc, argv);
  Bench bench;
  FrameMaker maker(run.seed);
  for (std::uint64_t i = 0; i < run.runs; ++i) bench.take(maker.next());
  std::printf("%llu frames: %llu passed, %llu held, %llu datagrams reassembled\n", static_cast<unsigned long long>(run.runs),
              static_cast<unsigned long long>(bench.passed), static_cast<unsigned long long>(bench.held),
              static_cast<unsigned long long>(bench.guard.reassembled()));
  for (std::size_t i = 0; i < drop_reasons; ++i) {
    const auto reason = static_cast<DropReason>(i);
    std::printf("  %-22s %llu\n", std::string(drop_reason_name(reason)).c_str(),
                static_cast<unsigned long long>(bench.guard.drops().of(reason)));
  }
  // A maker whose frames are all dropped, or all passed, would find nothing.
  const bool useful =
      bench.passed > run.runs / 20 && bench.passed < run.runs && bench.guard.reassembled() > run.runs / 10000;
  if (!useful) std::fprintf(stderr, "the frames do not reach what they should\n");
  return useful ? 0 : 1;
}
#endif
