// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/dns/message.h"

#include <algorithm>

namespace nh::dns {
namespace {

// Of the second 16 bits of the header: QR(1) OPCODE(4) AA TC RD | RA Z AD CD RCODE(4).
constexpr std::uint8_t response = 0x80, opcode_mask = 0x78, recursion_desired = 0x01;
constexpr std::uint8_t recursion_available = 0x80, checking_disabled = 0x10, rcode_mask = 0x0f;

std::uint16_t get16(Bytes bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

std::uint8_t lower(std::uint8_t c) {
  return c >= 'A' && c <= 'Z' ? static_cast<std::uint8_t>(c | 0x20) : c;
}

}  // namespace

bool is_query(Bytes message) {
  return message.size() >= header_size && (message[2] & response) == 0;
}

std::uint16_t id(Bytes message) {
  return get16(message, 0);
}

void set_id(MutableBytes message, std::uint16_t id) {
  message[0] = static_cast<std::uint8_t>(id >> 8);
  message[1] = static_cast<std::uint8_t>(id);
}

Rcode rcode(Bytes message) {
  return static_cast<Rcode>(message[3] & rcode_mask);
}

std::optional<Bytes> question(Bytes message) {
  constexpr std::size_t longest_label = 63, longest_name = 255,
                        type_and_class = 4;  // RFC 1035 2.3.4
  if (message.size() < header_size || get16(message, 4) != 1) return std::nullopt;
  std::size_t at = header_size;
  while (true) {
    if (at >= message.size() || at - header_size >= longest_name) return std::nullopt;
    const std::size_t label = message[at++];
    if (label == 0) break;
    if (label > longest_label) return std::nullopt;
    at += label;
  }
  at += type_and_class;
  if (at > message.size()) return std::nullopt;
  return message.subspan(header_size, at - header_size);
}

bool answers(Bytes message, Bytes query) {
  if (message.size() < header_size || (message[2] & response) == 0) return false;
  if ((message[2] & opcode_mask) != (query[2] & opcode_mask)) return false;
  if (get16(message, 4) == 0) return rcode(message) != Rcode::no_error;
  const auto asked = question(query);
  const auto told = question(message);
  // lower() does not change the length bytes of labels, which are below 'A'. Type and class are compared exactly.
  constexpr std::size_t type_and_class = 4;
  if (!asked || !told || asked->size() != told->size()) return false;
  const std::size_t name = asked->size() - type_and_class;
  return std::equal(asked->begin(), asked->begin() + static_cast<std::ptrdiff_t>(name), told->begin(),
                    [](std::uint8_t a, std::uint8_t b) { return lower(a) == lower(b); }) &&
         std::ranges::equal(asked->subspan(name), told->subspan(name));
}

std::vector<std::uint8_t> error_reply(Bytes query, Rcode rcode) {
  NH_BUG_IF(query.size() < header_size);
  const auto asked = question(query);
  std::vector<std::uint8_t> reply(header_size + (asked ? asked->size() : 0));
  set_id(reply, id(query));
  reply[2] = static_cast<std::uint8_t>(response | (query[2] & (opcode_mask | recursion_desired)));
  reply[3] =
      static_cast<std::uint8_t>(recursion_available | (query[3] & checking_disabled) | static_cast<std::uint8_t>(rcode));
  if (asked) {
    reply[5] = 1;  // QDCOUNT
    std::copy(asked->begin(), asked->end(), reply.begin() + header_size);
  }
  return reply;
}

}  // namespace nh::dns
