// SPDX-License-Identifier: BSD-3-Clause
// Neighbours: the MAC addresses of the guest's IP addresses, learnt from its frames, for the frames that we build.
#pragma once

#include <cstddef>
#include <unordered_map>

#include "src/base/address.h"

namespace nh {

class Neighbours {
 public:
  /// `tap` is the MAC of every address that was not learnt.
  explicit Neighbours(const MacAddress& tap) : tap_(tap) {}
  /// Learns the source of a frame. Beyond `capacity` addresses behind the guest nothing more is learnt.
  void learn(const Address& address, const MacAddress& mac);
  MacAddress of(const Address& address) const;
  void set_tap(const MacAddress& tap) { tap_ = tap; }

  /// Addresses with another MAC than the TAP's (containers bridged onto it). More than a /24 of them is not expected.
  static constexpr std::size_t capacity = 1024;

 private:
  MacAddress tap_;
  std::unordered_map<Address, MacAddress> others_;
};

}  // namespace nh
