// SPDX-License-Identifier: BSD-3-Clause
// Reading what another program writes for us at the start: within a size, a time, and until we are
// told to stop.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "src/base/clock.h"
#include "src/base/result.h"

namespace nh {

struct BoundedRead {
  int fd = -1;
  std::string_view subject;  ///< what is read, for messages
  std::size_t size = 0;      ///< bytes at most
  Duration wait{};
  int signal_fd = -1;  ///< -1: none
  /// Gets what came with each read; true: that is all. Without it the end of file is waited for.
  std::function<bool(std::string_view)> complete = nullptr;
};

/// Everything up to the end of file, or until complete() says so. invalid: larger; timeout;
/// interrupted: signal_fd became readable.
Result<std::string> read_bounded(const BoundedRead& read, const Clock& clock);

}  // namespace nh
