// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/relay_loop.h"

#include <algorithm>
#include <utility>

namespace nh {

Instant RelayLoop::next_deadline() const {
  if (!ready_.empty()) return Instant{};
  return checks_.empty() ? Instant::max() : checks_.front().due;
}

void RelayLoop::run() {
  ++counters_.turns;
  turn_left_ = limits::relay_turn;
  // Members that are added meanwhile wait for the next turn.
  const std::size_t count = ready_.size();
  for (std::size_t i = 0; i < count; ++i) {
    Member* member = std::exchange(ready_[i], nullptr);
    if (member == nullptr) continue;
    member->place.ready_at = -1;
    member->run_turn();
  }
  ready_.erase(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(count));
  for (std::size_t i = 0; i < ready_.size(); ++i)
    if (ready_[i] != nullptr) ready_[i]->place.ready_at = static_cast<std::int32_t>(i);
  if (!checks_.empty()) run_progress_checks();
}

void RelayLoop::run_progress_checks() {
  const Instant now = clock_.now();
  while (!checks_.empty() && checks_.front().due <= now) {
    Member& member = *checks_.front().member;
    checks_.pop_front();
    member.place.checked = false;
    member.progress_due();
  }
}

void RelayLoop::add_ready(Member& member) {
  if (member.place.ready_at >= 0) return;
  member.place.ready_at = static_cast<std::int32_t>(ready_.size());
  ready_.push_back(&member);
}

void RelayLoop::check_progress(Member& member) {
  member.place.checked = true;
  member.place.check = checks_.insert(checks_.end(), {&member, clock_.now() + limits::relay_last_bytes});
}

void RelayLoop::count_moved(RelayBytes& rule, bool to_guest, std::size_t bytes) {
  ++counters_.visits;
  turn_left_ -= std::min(turn_left_, bytes);
  (to_guest ? rule.to_guest : rule.to_host).fetch_add(bytes, std::memory_order_relaxed);
  (to_guest ? counters_.bytes_to_guest : counters_.bytes_to_host) += bytes;
}

void RelayLoop::remove(Member& member) {
  Member::Place& place = member.place;
  if (place.ready_at >= 0) ready_[static_cast<std::size_t>(std::exchange(place.ready_at, -1))] = nullptr;
  if (std::exchange(place.checked, false)) checks_.erase(place.check);
}

}  // namespace nh
