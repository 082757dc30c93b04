// SPDX-License-Identifier: BSD-3-Clause
// Neighbours: which MAC a guest address has, learnt from the guest's own frames, for frames that we build ourselves.
#pragma once

#include <cstddef>
#include <unordered_map>

#include "src/base/address.h"

namespace nh {

class Neighbours {
 public:
  /// `tap` is the answer for every address that was not seen yet.
  explicit Neighbours(const MacAddress& tap) : tap_(tap) {}
  /// Takes note of a frame's source. Beyond `capacity` addresses behind the guest nothing more is learnt.
  void learn(const Address& address, const MacAddress& mac);
  MacAddress of(const Address& address) const;
  void set_tap(const MacAddress& tap) { tap_ = tap; }

  /// Addresses other than the TAP's own: containers bridged onto the TAP. More than a /24 of them is not expected.
  static constexpr std::size_t capacity = 1024;

 private:
  MacAddress tap_;
  std::unordered_map<Address, MacAddress> others_;
};

}  // namespace nh
