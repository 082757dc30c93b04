// SPDX-License-Identifier: BSD-3-Clause
// Reply: a parsed line from the helper. Members that are missing (another version's helper) read as empty or 0.
#pragma once

#include <cstdint>
#include <string>

#include "src/json/json_checked.h"

namespace nh::ctl {

struct ParsedReply {
  Json value;         ///< of "return"
  std::string error;  ///< its text; empty: there is none

  bool refused() const { return !error.empty(); }
};

/// Errors: invalid: not a reply.
Result<ParsedReply> parse_reply(const std::string& line);
/// Parses any line of the helper.
Result<Json> parse_line(const std::string& line);

/// The value at a JSON pointer (RFC 6901): a string as it is, other values as JSON text, null or no value as "".
std::string text_at(const Json& value, const std::string& pointer);
std::uint64_t number_at(const Json& value, const std::string& pointer);
double seconds_at(const Json& value, const std::string& pointer);
/// An array, empty if there is none.
const Json& array_at(const Json& value, const std::string& pointer);

}  // namespace nh::ctl
