// SPDX-License-Identifier: BSD-3-Clause
// The Internet checksum (RFC 1071), and its update when a field changes (RFC 1624).
#pragma once

#include <cstdint>

#include "src/base/address.h"

namespace nh {

/// Adds bytes to a running sum of 16-bit words in network order. An odd last byte is the high byte of a word, so only the last
/// piece may have an odd length. The initial sum is 0.
std::uint64_t checksum_add(Bytes bytes, std::uint64_t sum);
/// The sum of the pseudo-header of IPv4 (RFC 793) or IPv6 (RFC 8200 8.1). Both addresses have one family.
std::uint64_t checksum_pseudo(const Address& source, const Address& destination, std::uint8_t protocol,
                              std::uint32_t length);
/// Folds and complements the sum: the value of the header field, in host byte order. It may be 0, for which UDP sends 0xffff.
std::uint16_t checksum_finish(std::uint64_t sum);
/// The checksum field after the 16-bit word `from` became `to` (RFC 1624 eqn. 3), all in host byte order.
std::uint16_t checksum_update(std::uint16_t field, std::uint16_t from, std::uint16_t to);

}  // namespace nh
