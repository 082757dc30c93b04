// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/inside/host_name.h"

#include <algorithm>
#include <climits>

namespace nh::run {

std::string host_name_fault(std::string_view name) {
  if (name.size() > HOST_NAME_MAX) return "is longer than " + std::to_string(HOST_NAME_MAX) + " bytes (sethostname(2))";
  const auto splits = [](char c) { return c == '#' || static_cast<unsigned char>(c) <= ' ' || c == '\x7f'; };
  if (std::any_of(name.begin(), name.end(), splits))
    return "has white space, a control character or '#', which /etc/hosts could not hold";
  return {};
}

}  // namespace nh::run
