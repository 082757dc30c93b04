// SPDX-License-Identifier: BSD-3-Clause
// Wire: numbers in network byte order at an offset of a frame. The caller has checked that the bytes are there; an offset beyond
// them is our bug. Read byte by byte, because frames are not aligned; compilers make one load of it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/base/address.h"

namespace nh::wire {

inline std::uint16_t load16(Bytes bytes, std::size_t offset) {
  NH_BUG_IF(offset + 2 > bytes.size());
  return static_cast<std::uint16_t>((bytes[offset] << 8) | bytes[offset + 1]);
}

inline std::uint32_t load32(Bytes bytes, std::size_t offset) {
  NH_BUG_IF(offset + 4 > bytes.size());
  return (std::uint32_t{bytes[offset]} << 24) | (std::uint32_t{bytes[offset + 1]} << 16) |
         (std::uint32_t{bytes[offset + 2]} << 8) | bytes[offset + 3];
}

inline void store16(MutableBytes bytes, std::size_t offset, std::uint16_t value) {
  NH_BUG_IF(offset + 2 > bytes.size());
  bytes[offset] = static_cast<std::uint8_t>(value >> 8);
  bytes[offset + 1] = static_cast<std::uint8_t>(value);
}

}  // namespace nh::wire
