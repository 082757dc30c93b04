// SPDX-License-Identifier: BSD-3-Clause
// Reading what another program writes for us during the start, with bounds on size and time, until a signal interrupts it.
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
  /// Called with the bytes of each read; true: the text is complete. Empty: it is complete at the end of file.
  std::function<bool(std::string_view)> complete = nullptr;
};

/// Reads up to the end of file, or until complete() returns true. Errors: invalid: larger than `size`; timeout; interrupted:
/// signal_fd became readable.
Result<std::string> read_bounded(const BoundedRead& read, const Clock& clock);

}  // namespace nh
