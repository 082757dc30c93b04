// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/capabilities.h"

#include <cap-ng.h>
#include <sys/prctl.h>

#include <array>

namespace nh {

Result<> keep_network_capabilities() {
  constexpr std::array<unsigned, 3> kept{CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE};
  std::array<bool, 3> permitted{};
  if (capng_get_caps_process() != 0) return sys_error("reading our capabilities");
  for (std::size_t i = 0; i < kept.size(); ++i) permitted[i] = capng_have_capability(CAPNG_PERMITTED, kept[i]) != 0;
  // Without CAP_SETPCAP the bounding set cannot be lowered; no_new_privs below makes it meaningless.
  const bool may_lower_bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 0;

  capng_clear(CAPNG_SELECT_BOTH);
  constexpr auto sets = static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET);
  for (std::size_t i = 0; i < kept.size(); ++i)
    if (permitted[i] && capng_update(CAPNG_ADD, sets, kept[i]) != 0) return sys_error("choosing capabilities");
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return sys_error("clearing ambient capabilities");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return sys_error("setting no_new_privs");
  if (may_lower_bounds && capng_apply(CAPNG_SELECT_BOUNDS) != 0)
    return sys_error("lowering the capability bounding set");
  if (capng_apply(CAPNG_SELECT_CAPS) != 0) return sys_error("dropping capabilities");
  return Ok{};
}

}  // namespace nh
