// SPDX-License-Identifier: BSD-3-Clause
// What a forward or a flow carries.
#pragma once

#include <cstdint>
#include <string_view>

namespace nh {

enum class Transport : std::uint8_t { tcp, udp };

constexpr std::string_view transport_name(Transport transport) {
  return transport == Transport::tcp ? "tcp" : "udp";
}

}  // namespace nh
