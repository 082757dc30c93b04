// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/relay_loop.h"

#include <algorithm>
#include <utility>

namespace nh {

Instant RelayLoop::next_deadline() const {
  if (!ready_.empty()) return Instant{};
  return lingering_.empty() ? Instant::max() : lingering_.front().check;
}

void RelayLoop::run() {
  ++counters_.turns;
  turn_left_ = limits::relay_turn;
  // Those that come onto the list meanwhile wait for the next turn.
  const std::size_t count = ready_.size();
  for (std::size_t i = 0; i < count; ++i) {
    Mover* mover = std::exchange(ready_[i], nullptr);
    if (mover == nullptr) continue;
    mover->ready_at_ = -1;
    mover->visit();
  }
  ready_.erase(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(count));
  for (std::size_t i = 0; i < ready_.size(); ++i)
    if (ready_[i] != nullptr) ready_[i]->ready_at_ = static_cast<std::int32_t>(i);
  if (!lingering_.empty()) run_lingering();
}

void RelayLoop::run_lingering() {
  const Instant now = clock_.now();
  while (!lingering_.empty() && lingering_.front().check <= now) {
    Mover& mover = *lingering_.front().mover;
    lingering_.pop_front();
    mover.lingers_ = false;
    if (mover.last_bytes_move())
      mover.carry_last_bytes();
    else
      ended(mover, mover.why_);
  }
}

void RelayLoop::later(Mover& mover) {
  if (mover.ready_at_ >= 0) return;
  mover.ready_at_ = static_cast<std::int32_t>(ready_.size());
  ready_.push_back(&mover);
}

void RelayLoop::linger(Mover& mover) {
  mover.lingers_ = true;
  mover.lingering_ = lingering_.insert(lingering_.end(), {&mover, clock_.now() + limits::relay_last_bytes});
}

void RelayLoop::moved(RelayBytes& rule, Mover::Side from, std::size_t bytes) {
  ++counters_.visits;
  turn_left_ -= std::min(turn_left_, bytes);
  (from == Mover::host ? rule.to_guest : rule.to_host).fetch_add(bytes, std::memory_order_relaxed);
  (from == Mover::host ? counters_.bytes_to_guest : counters_.bytes_to_host) += bytes;
}

bool RelayLoop::leads_away(Mover& mover) {
  if (!large_ || !mover.moves_much(*large_)) return false;
  owner_.mover_is_large(mover);
  return true;
}

void RelayLoop::forget(Mover& mover) {
  if (mover.ready_at_ >= 0) ready_[static_cast<std::size_t>(std::exchange(mover.ready_at_, -1))] = nullptr;
  if (std::exchange(mover.lingers_, false)) lingering_.erase(mover.lingering_);
}

}  // namespace nh
