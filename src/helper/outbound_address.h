// SPDX-License-Identifier: BSD-3-Clause
// The source address of outgoing connections, given as an address or as the interface whose first address it is.
#pragma once

#include <optional>
#include <string>

#include "src/base/address.h"

namespace nh {

/// nullopt for an empty text. `option` is the field of errors: invalid (neither an address of the family nor an
/// interface), missing (the interface has no address of the family, or the host has no such address). `may_come`: an address
/// that the host has not (yet) is taken all the same; connections fail as long as it is missing.
Result<std::optional<Address>> outbound_address(const std::string& text, Family family, const std::string& option,
                                                bool may_come = false);

}  // namespace nh
