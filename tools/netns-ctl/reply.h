// SPDX-License-Identifier: BSD-3-Clause
// Reply: a line of the helper's, parsed. Members that a helper of another version does not have read as empty or 0.
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

/// invalid: it is no reply.
Result<ParsedReply> parse_reply(const std::string& line);
/// Any line of the helper's.
Result<Json> parse_line(const std::string& line);

/// What stands at a JSON pointer (RFC 6901): a string itself, any other value as JSON, null and nothing as "".
std::string text_at(const Json& value, const std::string& pointer);
std::uint64_t number_at(const Json& value, const std::string& pointer);
double seconds_at(const Json& value, const std::string& pointer);
/// An array, empty if there is none.
const Json& array_at(const Json& value, const std::string& pointer);

}  // namespace nh::ctl
