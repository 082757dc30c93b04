// SPDX-License-Identifier: BSD-3-Clause
// Capabilities by name (capabilities(7)).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "src/base/result.h"

namespace nh::run {

/// Every capability that this kernel has, by number.
std::vector<unsigned> all_capabilities();

/// "CAP_NET_ADMIN", "net_admin" or "ALL", in either case, as numbers. invalid, with the field: no capability of this kernel.
Result<std::vector<unsigned>> parse_capability(std::string_view text, std::string_view field);

/// "CAP_NET_ADMIN"; the number, as text, of one that libcap does not know.
std::string capability_name(unsigned number);

}  // namespace nh::run
