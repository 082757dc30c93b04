// SPDX-License-Identifier: BSD-3-Clause
// Tally: a number that one thread changes and any thread may read.
//
// What is read may be a moment old, and tells nothing about any other memory. Costs what a plain number costs: no thread but
// one writes, so that no locked instruction is needed.
#pragma once

#include <atomic>

namespace nh {

template <class Number>
class Tally {
 public:
  Tally& operator+=(Number by) { return set(value() + by); }
  Tally& operator-=(Number by) { return set(value() - by); }
  Tally& operator++() { return *this += 1; }
  Tally& operator--() { return *this -= 1; }
  Number value() const { return value_.load(std::memory_order_relaxed); }

 private:
  Tally& set(Number value) {
    value_.store(value, std::memory_order_relaxed);
    return *this;
  }
  std::atomic<Number> value_{0};
};

}  // namespace nh
