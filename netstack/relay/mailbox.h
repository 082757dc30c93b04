// SPDX-License-Identifier: BSD-3-Clause
// Mailbox: messages of any thread to one that waits in an epoll.
//
// Theory of operation. A vector under a lock, which is held only while one message is added or the vector is swapped, and an
// eventfd(2) that is written when a message is added to an empty mailbox. What a thread did before post() happens before what the
// other does after take(). Whoever posts bounds the number of messages.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

template <class Message>
class Mailbox {
 public:
  /// Before its first use.
  Result<> open() {
    event_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    return event_ ? Result<>(Ok{}) : Result<>(sys_error("making an eventfd"));
  }
  /// Readable when there may be messages.
  int fd() const { return event_.get(); }

  void post(const Message& message) {
    bool first = false;
    {
      const std::lock_guard lock(mutex_);
      first = messages_.empty();
      messages_.push_back(message);
    }
    const std::uint64_t one = 1;
    // Cannot fail: the counter is far from its end.
    if (first) NH_BUG_IF(write(event_.get(), &one, sizeof one) != sizeof one);
  }
  /// All that there are, in the order in which they came; into an empty vector, whose memory is used for the next ones.
  void take(std::vector<Message>& empty) {
    std::uint64_t count = 0;
    if (read(event_.get(), &count, sizeof count) < 0) return;
    const std::lock_guard lock(mutex_);
    messages_.swap(empty);
  }

 private:
  UniqueFd event_;
  std::mutex mutex_;
  std::vector<Message> messages_;
};

}  // namespace nh
