// SPDX-License-Identifier: BSD-3-Clause
// Clock: where objects get the time from. They neither sleep nor read the clock themselves, so that tests own the time.
#pragma once

#include <chrono>

namespace nh {

using Duration = std::chrono::nanoseconds;
/// Time since an arbitrary start that never goes back (CLOCK_MONOTONIC in the helper).
using Instant = std::chrono::time_point<std::chrono::steady_clock, Duration>;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() const = 0;
};

class MonotonicClock final : public Clock {
 public:
  Instant now() const override { return std::chrono::steady_clock::now(); }
};

/// For tests: stands still until it is moved.
class ManualClock final : public Clock {
 public:
  Instant now() const override { return now_; }
  void advance(Duration by) { now_ += by; }

 private:
  Instant now_{std::chrono::hours(1)};
};

}  // namespace nh
