// SPDX-License-Identifier: BSD-3-Clause
// JSON with bounds: the one header that includes nlohmann/json; for .cc files, and headers that .cc files alone include.
//
// parse_checked() reads a request event by event and stops at the first broken rule, so that
// neither depth, nor the number of values, nor a member given twice ever reaches a document. Keys
// keep their order, in replies too.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "src/base/limits.h"
#include "src/base/result.h"

namespace nh {

using Json = nlohmann::ordered_json;

/// A request's, unless said otherwise.
struct JsonBounds {
  std::size_t depth = limits::control_depth;
  std::size_t values = limits::control_values;
  std::size_t members = limits::control_members;  ///< of one object: names are compared one with each other
};

/// One whole JSON text (RFC 8259, strings in UTF-8) within bounds. Error invalid: `what` says which rule is broken and where;
/// `field` is set if it is a member's doing.
Result<Json> parse_checked(std::string_view text, JsonBounds bounds = {});

/// A JSON integer (no fraction, exponent or quotes) within bounds. Error invalid with `field` =
/// name; the rule is `what`.
Result<std::uint64_t> integer_of(const Json& value, std::uint64_t min, std::uint64_t max, std::string_view name);
/// What a value is, for a message: "null", "an object", ..., a number itself.
std::string kind_of(const Json& value);
/// A JSON string. Error invalid with `field` = name.
Result<std::string> string_of(const Json& value, std::string_view name);

/// One line, no newline; what is not UTF-8 is replaced by U+FFFD.
std::string text_of(const Json& value);
/// A name out of a request as it can be shown in a message: cut if it is long, "" in quotes if it
/// is empty.
std::string shown(std::string_view name);

}  // namespace nh
