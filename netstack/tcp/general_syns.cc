// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/tcp/general_syns.h"

#include "src/base/limits.h"

namespace nh {

void GeneralSyns::add(const Endpoint& guest, const Endpoint& dialled, std::uint32_t isn) {
  const Instant now = clock_.now();
  const Ends ends{guest, dialled};
  const auto [at, is_new] = syns_.insert_or_assign(ends, Syn{.isn = isn, .until = now + limits::outbound_general_syn});
  if (!is_new) return;
  order_.push_back(ends);
  while (order_.size() > limits::outbound_general_syns || syns_.at(order_.front()).until <= now) {
    syns_.erase(order_.front());
    order_.pop_front();
  }
}

bool GeneralSyns::has(const Endpoint& guest, const Endpoint& dialled, std::uint32_t isn) const {
  if (syns_.empty()) return false;
  const auto found = syns_.find({guest, dialled});
  return found != syns_.end() && found->second.isn == isn && found->second.until > clock_.now();
}

}  // namespace nh
