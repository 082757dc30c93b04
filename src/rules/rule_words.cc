// SPDX-License-Identifier: BSD-3-Clause
#include "src/rules/rule_words.h"

#include <algorithm>

#include "src/base/number.h"

namespace nh::rule_words {
namespace {

Result<PortRange> parse_range(std::string_view text, std::string_view field, Zero zero) {
  const auto dash = text.find('-');
  NH_LET(first, parse_unsigned(text.substr(0, dash), zero == Zero::alone && dash == text.npos ? 0 : 1, 65535, field));
  PortRange range{static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(first)};
  if (dash == text.npos) return range;
  NH_LET(last, parse_unsigned(text.substr(dash + 1), 1, 65535, field));
  if (last < first) return invalid(field, "must be FIRST-LAST, not \"" + std::string(text) + "\"");
  range.last = static_cast<std::uint16_t>(last);
  return range;
}

Result<> check_disjoint(std::vector<PortRange> ports, std::string_view field) {
  std::sort(ports.begin(), ports.end(), [](const PortRange& a, const PortRange& b) { return a.first < b.first; });
  for (std::size_t i = 1; i < ports.size(); ++i)
    if (ports[i].first <= ports[i - 1].last) return invalid(field, "has port " + std::to_string(ports[i].first) + " twice");
  return Ok{};
}

}  // namespace

Error invalid(std::string_view field, const std::string& rule) {
  return Error{.code = Code::invalid, .what = std::string(field) + " " + rule, .field = std::string(field)};
}

Result<std::vector<PortRange>> parse_ports(std::string_view text, std::string_view field, Zero zero) {
  std::vector<PortRange> ports;
  for (std::string_view rest = text;;) {
    const auto comma = rest.find(',');
    NH_LET(range, parse_range(rest.substr(0, comma), field, zero));
    ports.push_back(range);
    if (comma == rest.npos) break;
    rest.remove_prefix(comma + 1);
  }
  if (ports.size() > 1 && std::any_of(ports.begin(), ports.end(), [](const PortRange& range) { return range.first == 0; }))
    return invalid(field, "must have 0 alone, if at all");
  NH_TRY(check_disjoint(ports, field));
  return ports;
}

}  // namespace nh::rule_words
