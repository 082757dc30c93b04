// SPDX-License-Identifier: BSD-3-Clause
// The parts of a DNS message (RFC 1035 4.1) that a forwarder reads and makes: header, question, the OPT record (RFC 6891), error
// replies, truncated answers. A forwarder needs to understand little: everything else is passed on as it is.
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
/// The bytes of the question section, if it is one well-formed question with an uncompressed name.
std::optional<Bytes> question(Bytes message);

/// True if `message` answers `query` (at least a whole header): a response with the same opcode and, to an ordinary query (opcode
/// QUERY, one well-formed question), with the same question (letters compared without case). A response without any question
/// answers such a query if it is an error or has no records of an answer (BADVERS, RFC 6891 6.1.3). The caller compares the ids.
bool answers(Bytes message, Bytes query);

/// Bytes of the largest answer over UDP that the sender of `query` takes: what its OPT record says, at least 512 (RFC 6891 6.2.3).
/// A query with a malformed section tells nothing: largest_message.
std::size_t udp_answer_limit(Bytes query);

/// `answer` (at least a whole header) in at most `size` bytes (512 or more), marked as truncated (TC): its header and question, as many
/// records of the answer and authority sections as fit, and the OPT record (RFC 6891 7). Without the records, if they are malformed.
std::vector<std::uint8_t> truncated(Bytes answer, std::size_t size);

/// Our error reply to `query` (at least a whole header), with its question if that is well-formed, and with an OPT record if it
/// has one.
std::vector<std::uint8_t> error_reply(Bytes query, Rcode rcode);

}  // namespace nh::dns
