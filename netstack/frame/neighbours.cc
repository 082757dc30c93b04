// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/frame/neighbours.h"

namespace nh {

void Neighbours::learn(const Address& address, const MacAddress& mac) {
  if (others_.empty() && mac == tap_) return;  // the usual guest: no lookup per frame
  if (const auto known = others_.find(address); known != others_.end()) {
    known->second = mac;
    return;
  }
  if (mac != tap_ && others_.size() < capacity) others_.emplace(address, mac);
}

MacAddress Neighbours::of(const Address& address) const {
  const auto known = others_.find(address);
  return known == others_.end() ? tap_ : known->second;
}

}  // namespace nh
