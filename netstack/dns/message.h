// SPDX-License-Identifier: BSD-3-Clause
// The parts of a DNS message (RFC 1035 4.1) that a forwarder reads and makes: header, question, error replies.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "src/base/address.h"

namespace nh::dns {

inline constexpr std::size_t header_size = 12;
inline constexpr std::size_t largest_message = 65535;  ///< the length prefix of TCP has 16 bits

/// RFC 1035 4.1.1
enum class Rcode : std::uint8_t {
  no_error = 0,
  format_error = 1,
  server_failure = 2,
  name_error = 3,
  not_implemented = 4,
  refused = 5
};

/// A message with a whole header that is a query (QR clear).
bool is_query(Bytes message);

// Of a message with a whole header:
std::uint16_t id(Bytes message);
void set_id(MutableBytes message, std::uint16_t id);
Rcode rcode(Bytes message);
/// The bytes of the question section, if it is one well-formed question; names in it are never
/// compressed.
std::optional<Bytes> question(Bytes message);

/// True if `message` answers `query`: a response with the same opcode and question (letters compared without case). An error
/// may have no question (RFC 6891 7, and old servers). The caller compares the ids.
bool answers(Bytes message, Bytes query);

/// Our error reply to `query` (at least a whole header), with its question if that is well-formed.
std::vector<std::uint8_t> error_reply(Bytes query, Rcode rcode);

}  // namespace nh::dns
