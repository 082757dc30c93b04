// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/bridge/udp_flow_limit.h"

namespace nh {
namespace {
constexpr Duration slirp_expiry = std::chrono::seconds(240);  // libslirp udp.h, SO_EXPIRE
}

bool UdpFlowLimit::admit(const Endpoint& guest, std::size_t sockets, Instant now) {
  const auto known = last_seen_.find(guest);
  if (known != last_seen_.end() && now - known->second < slirp_expiry) {
    known->second = now;
    return true;
  }
  if (sockets >= limit_) return false;
  if (last_seen_.size() >= 2 * limit_)
    std::erase_if(last_seen_, [now](const auto& entry) { return now - entry.second >= slirp_expiry; });
  // No old entry is left to remove: libslirp closes sockets to port 53 early, so entries can outnumber sockets. Start anew.
  if (last_seen_.size() >= 2 * limit_) last_seen_.clear();
  last_seen_[guest] = now;
  return true;
}

}  // namespace nh
