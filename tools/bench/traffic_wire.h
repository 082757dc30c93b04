// SPDX-License-Identifier: BSD-3-Clause
// What bench-traffic's client asks of its server: one order at the head of each TCP connection.
//
//   byte 0      the mode
//   bytes 1..8  a number in network order: for `source` the bytes to send (0: until the client closes), else 0
//
// After it, `sink` takes bytes until the client's FIN and answers with their number (8 bytes, network order); `source`
// sends zeros; `echo` sends every byte back as it comes; `count` is answered with the number of datagrams that were sunk so far, and
// `peer` with the client's address as text; both end there. A datagram needs no order: one that begins with `sink` is counted, any
// other is sent back as it is.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace nh::traffic {

enum class Mode : std::uint8_t { sink = 'S', source = 'D', echo = 'E', count = 'C', peer = 'P' };

inline constexpr std::size_t number_size = 8;
inline constexpr std::size_t order_size = 1 + number_size;
/// Bytes of one request or answer of `rr`; less than any socket buffer, so that an echo never has to wait for room.
inline constexpr std::size_t message_max = 16 * 1024;
/// Bytes moved by one call in a stream; as iperf3's default block.
inline constexpr std::size_t block_size = 128 * 1024;

struct Order {
  Mode mode = Mode::echo;
  std::uint64_t number = 0;
};

inline std::array<std::uint8_t, number_size> encode_number(std::uint64_t number) {
  std::array<std::uint8_t, number_size> bytes{};
  for (std::size_t i = 0; i < number_size; ++i) {
    bytes[i] = static_cast<std::uint8_t>(number >> (8 * (number_size - 1 - i)));
  }
  return bytes;
}

inline std::uint64_t decode_number(std::span<const std::uint8_t, number_size> bytes) {
  std::uint64_t number = 0;
  for (const std::uint8_t byte : bytes) number = number << 8 | byte;
  return number;
}

inline std::array<std::uint8_t, order_size> encode(const Order& order) {
  std::array<std::uint8_t, order_size> bytes{};
  bytes[0] = static_cast<std::uint8_t>(order.mode);
  const auto number = encode_number(order.number);
  for (std::size_t i = 0; i < number_size; ++i) bytes[1 + i] = number[i];
  return bytes;
}

inline std::optional<Order> decode(std::span<const std::uint8_t, order_size> bytes) {
  const auto mode = static_cast<Mode>(bytes[0]);
  switch (mode) {
    case Mode::sink:
    case Mode::source:
    case Mode::echo:
    case Mode::count:
    case Mode::peer:
      return Order{mode, decode_number(bytes.subspan<1>())};
  }
  return std::nullopt;
}

}  // namespace nh::traffic
