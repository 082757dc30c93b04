// SPDX-License-Identifier: BSD-3-Clause
// UndoLog: what takes back the steps done so far, last step first.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "src/base/result.h"

namespace nh {

class UndoLog {
 public:
  /// `undo` takes back one step; its error is reported, and the rest is taken back all the same.
  void add(std::function<Result<>()> undo) { steps_.push_back(std::move(undo)); }
  bool empty() const { return steps_.empty(); }

  /// Takes everything back; gives the messages of what could not be.
  std::vector<std::string> roll_back() {
    std::vector<std::string> failures;
    while (!steps_.empty()) {
      const auto undo = std::move(steps_.back());
      steps_.pop_back();
      if (const auto done = undo(); !done) failures.push_back(done.error().message());
    }
    return failures;
  }

 private:
  std::vector<std::function<Result<>()>> steps_;
};

}  // namespace nh
