// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/frame/checksum.h"

#include <arpa/inet.h>

#include <cstring>

namespace nh {
namespace {

// Sums native-endian words: by RFC 1071 2(B) the byte order may be swapped once at the end. Eight bytes at a time with
// end-around carry; the compiler vectorises neither this nor the 16-bit form, and this one is about 4 times faster.
std::uint64_t add_native(const std::uint8_t* data, std::size_t size, std::uint64_t sum) {
  const auto add = [&sum](std::uint64_t word) {
    sum += word;
    sum += sum < word ? 1u : 0u;
  };
  while (size >= 32) {
    std::uint64_t words[4];
    std::memcpy(words, data, sizeof words);
    add(words[0]);
    add(words[1]);
    add(words[2]);
    add(words[3]);
    data += 32;
    size -= 32;
  }
  while (size >= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, data, sizeof word);
    add(word);
    data += 8;
    size -= 8;
  }
  if (size > 0) {
    std::uint64_t word = 0;
    std::memcpy(&word, data, size);
    add(word);
  }
  return sum;
}

std::uint16_t fold(std::uint64_t sum) {
  sum = (sum & 0xffffffffu) + (sum >> 32);
  sum = (sum & 0xffffffffu) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

}  // namespace

std::uint64_t checksum_add(Bytes bytes, std::uint64_t sum) {
  return sum + ntohs(fold(add_native(bytes.data(), bytes.size(), 0)));
}

std::uint64_t checksum_pseudo(const Address& source, const Address& destination, std::uint8_t protocol,
                              std::uint32_t length) {
  std::uint64_t sum = checksum_add(source.bytes(), 0);
  sum = checksum_add(destination.bytes(), sum);
  return sum + protocol + (length >> 16) + (length & 0xffff);
}

std::uint16_t checksum_finish(std::uint64_t sum) {
  return static_cast<std::uint16_t>(~fold(sum));
}

std::uint16_t checksum_update(std::uint16_t field, std::uint16_t from, std::uint16_t to) {
  const std::uint64_t sum = static_cast<std::uint16_t>(~field) + std::uint64_t{static_cast<std::uint16_t>(~from)} + to;
  return checksum_finish(sum);
}

}  // namespace nh
