// SPDX-License-Identifier: BSD-3-Clause
// ForwardSpec: what a port forward is, parsed: a host port that leads into the guest. It has no
// invalid state.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "src/base/address.h"
#include "src/base/number.h"

namespace nh {

enum class Transport : std::uint8_t { tcp, udp };
std::string_view transport_name(Transport transport);

struct ForwardSpec {
  Transport transport = Transport::tcp;
  Address host_address;         ///< where to listen; 127.0.0.1 unless given
  std::uint16_t host_port = 0;  ///< 0: the kernel chooses, the rule tells which
  std::optional<Address>
      guest_address;  ///< nullopt: the guest's address of the host address's family
  Port guest_port;

  /// `[HOST_ADDR:]HOST_PORT:[GUEST_ADDR:]GUEST_PORT[/tcp|/udp]`, IPv6 in brackets. Errors name the
  /// part at fault.
  static Result<ForwardSpec> parse(std::string_view text);
  /// For a spec that was put together by hand: neither address is multicast, broadcast or
  /// v4-mapped, the guest's is not a wildcard.
  Result<> check() const;
  std::string text() const;
};

}  // namespace nh
