// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/udp/udp_flow_table.h"

#include <algorithm>

#include "src/base/limits.h"

namespace nh {
namespace {

constexpr std::uint16_t first_user_port = 1024;

Instant due(const std::list<UdpFlow>& flows, Duration idle) {
  return flows.empty() ? Instant::max() : flows.front().last_used + idle;
}

}  // namespace

UdpFlow* UdpFlowTable::find(const UdpClient& client) {
  const auto found = by_client_.find(client);
  return found == by_client_.end() ? nullptr : found->second;
}

UdpFlow* UdpFlowTable::find(const UdpPair& pair) {
  const auto found = by_pair_.find(pair);
  return found == by_pair_.end() ? nullptr : found->second;
}

bool UdpFlowTable::find_free_port(UdpPair& pair) {
  for (unsigned tries = 65536 - first_user_port; tries > 0; --tries) {
    pair.guest_peer.port = next_port_;
    next_port_ = next_port_ == 65535 ? first_user_port : static_cast<std::uint16_t>(next_port_ + 1);
    if (!by_pair_.contains(pair)) return true;
  }
  return false;
}

UdpFlow* UdpFlowTable::open(const UdpClient& client, UdpPair pair, Instant now) {
  NH_BUG_IF(by_client_.contains(client));
  if (size() >= max_flows_) return nullptr;
  if ((pair.guest_peer.port == 0 || by_pair_.contains(pair)) && !find_free_port(pair)) return nullptr;
  UdpFlow& flow = unanswered_.emplace_back();
  flow.client = client;
  flow.pair = pair;
  flow.opened = flow.last_used = now;
  flow.place = std::prev(unanswered_.end());
  by_client_.emplace(client, &flow);
  by_pair_.emplace(pair, &flow);
  return &flow;
}

void UdpFlowTable::used(UdpFlow& flow, Instant now, bool answer) {
  std::list<UdpFlow>& from = flow.answered ? answered_ : unanswered_;
  flow.answered = flow.answered || answer;
  flow.last_used = now;
  std::list<UdpFlow>& to = flow.answered ? answered_ : unanswered_;
  to.splice(to.end(), from, flow.place);
}

void UdpFlowTable::forget(UdpFlow& flow) {
  by_client_.erase(flow.client);
  by_pair_.erase(flow.pair);
  (flow.answered ? answered_ : unanswered_).erase(flow.place);
}

UdpFlow* UdpFlowTable::idle(Instant now) {
  if (due(unanswered_, limits::udp_idle_unanswered) <= now) return &unanswered_.front();
  if (due(answered_, limits::udp_idle_answered) <= now) return &answered_.front();
  return nullptr;
}

Instant UdpFlowTable::next_deadline() const {
  return std::min(due(unanswered_, limits::udp_idle_unanswered), due(answered_, limits::udp_idle_answered));
}

}  // namespace nh
