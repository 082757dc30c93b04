// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/fd_budget.h"

#include <algorithm>
#include <utility>

#include "src/base/limits.h"
#include "src/base/result.h"

namespace nh {

std::size_t FdBudget::capacity_for(std::uint64_t nofile, std::size_t others) {
  // As FlowLimits::for_descriptors reckons: with very few, half of them.
  const auto left = static_cast<std::size_t>(nofile > 2 * limits::reserved_fds ? nofile - limits::reserved_fds : nofile / 2);
  return left > others ? left - others : 0;
}

std::size_t FdBudget::enough() const {
  constexpr std::size_t share = 16, most = 64;
  // Two make a relay: with less nobody who waits could go on.
  return std::max<std::size_t>(std::min((capacity_ - kept_) / share, most), 2);
}

bool FdBudget::take(std::size_t count) {
  if (count <= capacity_ - used_) {
    used_ += count;
    return true;
  }
  if (!std::exchange(reached_, true) && on_limit_) on_limit_(true);
  return false;
}

void FdBudget::give(std::size_t count) {
  NH_BUG_IF(count > used_);
  used_ -= count;
  if (!reached_ || capacity_ - used_ < enough()) return;
  reached_ = false;
  if (on_limit_) on_limit_(false);
  for (Waiter* waiter : std::exchange(waiters_, {})) waiter->fds_free();
}

std::optional<FdBudget::Kept> FdBudget::keep(std::size_t count) {
  if (!take(count)) return std::nullopt;
  kept_ += count;
  return Kept(*this, count);
}

FdBudget::Kept::~Kept() {
  if (count_ == 0) return;
  budget_->kept_ -= count_;
  budget_->give(count_);
}

void FdBudget::wait(Waiter& waiter) {
  if (std::find(waiters_.begin(), waiters_.end(), &waiter) == waiters_.end()) waiters_.push_back(&waiter);
}

void FdBudget::stop_waiting(Waiter& waiter) {
  std::erase(waiters_, &waiter);
}

}  // namespace nh
