// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/bundle/capability_names.h"

#include <sys/capability.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cctype>
#include <string>

namespace nh::run {

std::vector<unsigned> all_capabilities() {
  std::vector<unsigned> all;
  // EINVAL beyond the last one (capabilities(7)).
  for (unsigned number = 0; prctl(PR_CAPBSET_READ, number) >= 0; ++number) all.push_back(number);
  return all;
}

Result<std::vector<unsigned>> parse_capability(std::string_view text, std::string_view field) {
  std::string name(text);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (name == "all") return all_capabilities();
  if (!name.starts_with("cap_")) name.insert(0, "cap_");
  cap_value_t number = -1;
  const auto known = all_capabilities();
  // It reads a name up to the first character that none has, and numbers.
  const bool named = name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string::npos &&
                     cap_from_name(name.c_str(), &number) == 0;
  if (!named || static_cast<std::size_t>(number) >= known.size())
    return Error{
        .code = Code::invalid, .what = "no capability of this kernel: " + std::string(text), .field = std::string(field)};
  return std::vector<unsigned>{static_cast<unsigned>(number)};
}

std::string capability_name(unsigned number) {
  char* const known = cap_to_name(static_cast<cap_value_t>(number));
  std::string name =
      known != nullptr && std::isdigit(static_cast<unsigned char>(known[0])) == 0 ? known : std::to_string(number);
  cap_free(known);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return name;
}

}  // namespace nh::run
