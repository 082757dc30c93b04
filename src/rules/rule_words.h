// SPDX-License-Identifier: BSD-3-Clause
// What a rule's members are made of, for rule_spec.cc (the members) and rule_text.cc (the syntax of --forward).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "src/rules/rule_spec.h"

namespace nh::rule_words {

/// Code::invalid, its message "FIELD RULE".
Error invalid(std::string_view field, const std::string& rule);

enum class Zero : std::uint8_t {
  refused,
  alone  ///< "0" and nothing beside it: the kernel chooses
};
/// "8080", "8000-8010", "80,443,8000-8010": at least one port, none twice, in the order given.
Result<std::vector<PortRange>> parse_ports(std::string_view text, std::string_view field, Zero zero);

}  // namespace nh::rule_words
