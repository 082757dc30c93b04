// SPDX-License-Identifier: BSD-3-Clause
// Clock: the source of time. No object sleeps or reads a clock of the system by itself, so that a test decides what time it is.
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

/// For tests: the time changes only by advance().
class ManualClock final : public Clock {
 public:
  Instant now() const override { return now_; }
  void advance(Duration by) { now_ += by; }

 private:
  Instant now_{std::chrono::hours(1)};
};

}  // namespace nh
