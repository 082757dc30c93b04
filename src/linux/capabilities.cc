// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/capabilities.h"

#include <cap-ng.h>
#include <sys/prctl.h>

#include <array>
#include <vector>

namespace nh {

bool has_capability(unsigned capability) {
  return capng_get_caps_process() == 0 && capng_have_capability(CAPNG_EFFECTIVE, capability) != 0;
}

Result<> keep_capabilities(std::span<const unsigned> kept, std::span<const unsigned> bounds) {
  if (capng_get_caps_process() != 0) return sys_error("reading our capabilities");
  std::vector<unsigned> permitted;
  for (const unsigned capability : kept)
    if (capng_have_capability(CAPNG_PERMITTED, capability) != 0) permitted.push_back(capability);
  // Without CAP_SETPCAP the bounding set cannot be lowered; no_new_privs below makes it meaningless.
  const bool may_lower_bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 0;

  capng_clear(CAPNG_SELECT_BOTH);
  constexpr auto sets = static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED);
  for (const unsigned capability : permitted)
    if (capng_update(CAPNG_ADD, sets, capability) != 0) return sys_error("choosing capabilities");
  for (const unsigned capability : bounds)
    if (capng_update(CAPNG_ADD, CAPNG_BOUNDING_SET, capability) != 0) return sys_error("choosing capabilities");
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return sys_error("clearing ambient capabilities");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return sys_error("setting no_new_privs");
  if (may_lower_bounds && capng_apply(CAPNG_SELECT_BOUNDS) != 0)
    return sys_error("lowering the capability bounding set");
  if (capng_apply(CAPNG_SELECT_CAPS) != 0) return sys_error("dropping capabilities");
  return Ok{};
}

Result<> keep_network_capabilities() {
  constexpr std::array<unsigned, 3> kept{CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE};
  return keep_capabilities(kept, kept);
}

}  // namespace nh
