// SPDX-License-Identifier: BSD-3-Clause
// UniqueFd: the one owner of a file descriptor. No close(2) is written anywhere else.
#pragma once

#include <utility>

namespace nh {

class UniqueFd {
 public:
  UniqueFd() = default;
  /// Takes ownership of fd; -1 means empty.
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

  /// Returns the descriptor, which the caller owns from now on.
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  /// Closes the descriptor and takes ownership of fd instead.
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

}  // namespace nh
