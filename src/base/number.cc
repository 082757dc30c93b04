// SPDX-License-Identifier: BSD-3-Clause
#include "src/base/number.h"

#include <charconv>
#include <string>

namespace nh {
namespace {

Error out_of_rule(std::string_view name, std::string_view text, std::uint64_t min, std::uint64_t max) {
  return Error{.code = Code::invalid,
               .what = std::string(name) + " must be a number from " + std::to_string(min) + " to " + std::to_string(max) +
                       ", not \"" + std::string(text) + "\"",
               .field = std::string(name)};
}

constexpr std::uint64_t max_port = 65535;

}  // namespace

Result<std::uint64_t> parse_unsigned(std::string_view text, std::uint64_t min, std::uint64_t max, std::string_view name) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, value, 10);
  if (problem != std::errc() || stop != end || text.empty() || value < min || value > max)
    return out_of_rule(name, text, min, max);
  return value;
}

Result<Port> Port::parse(std::string_view text, std::string_view name) {
  NH_LET(value, parse_unsigned(text, 1, max_port, name));
  return Port(static_cast<std::uint16_t>(value));
}

Result<Port> Port::from(std::int64_t value, std::string_view name) {
  if (value < 1 || value > static_cast<std::int64_t>(max_port)) return out_of_rule(name, std::to_string(value), 1, max_port);
  return Port(static_cast<std::uint16_t>(value));
}

}  // namespace nh
