// SPDX-License-Identifier: BSD-3-Clause
// Host and domain names of the guest, wherever they were asked for.
#pragma once

#include <string>
#include <string_view>

namespace nh::run {

/// Which rule the name breaks, as a phrase; empty: none. At most 64 bytes (sethostname(2)); one word, as /etc/hosts will have it
/// (hosts(5)).
std::string host_name_fault(std::string_view name);

}  // namespace nh::run
