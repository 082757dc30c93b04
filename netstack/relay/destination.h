// SPDX-License-Identifier: BSD-3-Clause
// Destination: where a forward's clients are led, a service of the guest or, for a reverse rule, of the host.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "src/base/address.h"

namespace nh {

struct Destination {
  /// In the guest: at least one address. Where one is not set, clients of that family are led to the other, and appear with its
  /// gateway's address (client_address.h).
  std::optional<Address> v4 = {}, v6 = {};
  std::uint16_t port = 0;
  /// On the host, instead of all that: an address, or the path of a Unix stream socket if that is not empty.
  std::optional<Endpoint> host = {};
  std::string host_path = {};

  bool in_guest() const { return !host && host_path.empty(); }
  const std::optional<Address>& address(Family family) const { return family == Family::v4 ? v4 : v6; }
  /// In the guest, for a client of `family`; 0.0.0.0 if there is no address.
  Endpoint endpoint(Family family) const {
    const auto& own = address(family);
    return {own ? *own : address(family == Family::v4 ? Family::v6 : Family::v4).value_or(Address()), port};
  }
  /// On the host; 0.0.0.0:0 for a Unix socket.
  Endpoint host_endpoint() const { return host.value_or(Endpoint()); }
  /// The guest's loopback, for a client of one family at least.
  bool is_loopback() const { return (v4 && v4->is_loopback()) || (v6 && v6->is_loopback()); }
  friend bool operator==(const Destination&, const Destination&) = default;
};

}  // namespace nh
