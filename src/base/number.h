// SPDX-License-Identifier: BSD-3-Clause
// Parsing of numbers: the whole text must be one decimal number within bounds. The Error says which.
#pragma once

#include <cstdint>
#include <string_view>

#include "src/base/result.h"

namespace nh {

/// Decimal digits only (no sign, space or prefix), min <= value <= max. `name` is used in the message and as the field.
Result<std::uint64_t> parse_unsigned(std::string_view text, std::uint64_t min, std::uint64_t max, std::string_view name);

/// A port that can be dialled: 1..65535.
class Port {
 public:
  static Result<Port> parse(std::string_view text, std::string_view name = "port");
  static Result<Port> from(std::int64_t value, std::string_view name = "port");
  std::uint16_t value() const { return value_; }
  friend bool operator==(const Port&, const Port&) = default;

 private:
  explicit Port(std::uint16_t value) : value_(value) {}
  std::uint16_t value_;
};

}  // namespace nh
