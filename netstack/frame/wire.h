// SPDX-License-Identifier: BSD-3-Clause
// Wire: numbers in network byte order in a frame. The caller has checked that the bytes are there. load and store know the
// frame's end, and end the process for an offset beyond it (our bug); get and put have a pointer only, and cannot. Byte by byte,
// because frames are not aligned; compilers make one load of it.
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

inline std::uint16_t get16(const std::uint8_t* at) {
  return static_cast<std::uint16_t>((at[0] << 8) | at[1]);
}

inline std::uint32_t get32(const std::uint8_t* at) {
  return (std::uint32_t{get16(at)} << 16) | get16(at + 2);
}

/// The low 16 bits of `value`.
inline void put16(std::uint8_t* at, std::size_t value) {
  at[0] = static_cast<std::uint8_t>(value >> 8);
  at[1] = static_cast<std::uint8_t>(value);
}

inline void put32(std::uint8_t* at, std::uint32_t value) {
  put16(at, value >> 16);
  put16(at + 2, value);
}

}  // namespace nh::wire
