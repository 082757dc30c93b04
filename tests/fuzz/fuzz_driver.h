// SPDX-License-Identifier: BSD-3-Clause
// How a fuzz target of frames is run: by our own deterministic driver (any compiler), or by
// libFuzzer (clang, built with -fsanitize=fuzzer), which brings its own main and calls
// LLVMFuzzerTestOneInput.
//
//   PROGRAM [RUNS [SEED]]     RUNS from NETNS_HELPER_FUZZ_RUNS too; NETNS_HELPER_FULL=1 means
//   full_runs everywhere
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace nh::test {

/// Inputs of a run in continuous integration; a tenth of it under the sanitizers, which are that
/// much slower.
inline constexpr std::uint64_t full_runs = 1'000'000;
inline constexpr std::uint64_t default_seed = 1234;

struct FuzzRun {
  std::uint64_t runs = full_runs;
  std::uint64_t seed = default_seed;
};

/// From the command line and the environment; exits with 2 on a number that is none.
FuzzRun fuzz_run(int argc, char** argv);

/// Ends the program because it cannot run here: 77 (skipped), or 1 with NETNS_HELPER_MUST_WORK=1.
[[noreturn]] void cannot_run(const std::string& why);

/// Cuts an input of libFuzzer into frames: each with its length in two bytes in front.
void for_each_frame(std::span<const std::uint8_t> input, const std::function<void(std::span<const std::uint8_t>)>& take);

}  // namespace nh::test
