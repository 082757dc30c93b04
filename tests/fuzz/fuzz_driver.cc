// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fuzz/fuzz_driver.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "src/base/number.h"

namespace nh::test {
namespace {

std::uint64_t number(const char* text, std::string_view name) {
  const auto value = parse_unsigned(text, 0, UINT64_MAX, name);
  if (value) return *value;
  std::fprintf(stderr, "%s\n", value.error().message().c_str());
  std::exit(2);
}

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && std::string_view(value) == "1";
}

}  // namespace

FuzzRun fuzz_run(int argc, char** argv) {
  FuzzRun run;
#ifdef NETNS_HELPER_SANITIZED
  constexpr std::uint64_t sanitized_share = 10;
  if (!is_set("NETNS_HELPER_FULL")) run.runs /= sanitized_share;
#endif
  if (const char* runs = std::getenv("NETNS_HELPER_FUZZ_RUNS")) run.runs = number(runs, "NETNS_HELPER_FUZZ_RUNS");
  if (argc > 1) run.runs = number(argv[1], "RUNS");
  if (argc > 2) run.seed = number(argv[2], "SEED");
  return run;
}

void cannot_run(const std::string& why) {
  std::fprintf(stderr, "cannot run here: %s\n", why.c_str());
  constexpr int skipped = 77;
  std::exit(is_set("NETNS_HELPER_MUST_WORK") ? 1 : skipped);
}

void for_each_frame(std::span<const std::uint8_t> input, const std::function<void(std::span<const std::uint8_t>)>& take) {
  while (input.size() > 2) {
    const std::size_t size = std::min<std::size_t>(std::size_t{input[0]} << 8 | input[1], input.size() - 2);
    take(input.subspan(2, size));
    input = input.subspan(2 + size);
  }
}

}  // namespace nh::test
