// SPDX-License-Identifier: BSD-3-Clause
// GuestGoal: a service of the guest, where a forward's clients are led.
#pragma once

#include <cstdint>
#include <optional>

#include "src/base/address.h"

namespace nh {

/// At least one address. Where one is not set, clients of that family are led to the other, and appear with its gateway's
/// address (client_address.h).
struct GuestGoal {
  std::optional<Address> v4, v6;
  std::uint16_t port = 0;

  const std::optional<Address>& of(Family family) const { return family == Family::v4 ? v4 : v6; }
  /// For a client of `family`.
  Endpoint endpoint(Family family) const {
    const auto& own = of(family);
    return {own ? *own : of(family == Family::v4 ? Family::v6 : Family::v4).value(), port};
  }
};

}  // namespace nh
