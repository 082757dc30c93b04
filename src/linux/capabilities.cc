// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/capabilities.h"

#include <sys/capability.h>
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

namespace nh {

namespace {

struct CapFree {
  void operator()(cap_t set) const { cap_free(set); }
};
using Caps = std::unique_ptr<std::remove_pointer_t<cap_t>, CapFree>;

bool is_set(const Caps& caps, unsigned capability, cap_flag_t flag) {
  cap_flag_value_t value = CAP_CLEAR;
  return cap_get_flag(caps.get(), static_cast<cap_value_t>(capability), flag, &value) == 0 && value == CAP_SET;
}

Result<> lower_bounds(std::span<const unsigned> bounds) {
  // -1 beyond the last one that the kernel knows (capabilities(7)).
  for (cap_value_t capability = 0; cap_get_bound(capability) >= 0; ++capability)
    if (std::find(bounds.begin(), bounds.end(), static_cast<unsigned>(capability)) == bounds.end() &&
        cap_drop_bound(capability) != 0)
      return sys_error("lowering the capability bounding set");
  return Ok{};
}

}  // namespace

bool has_capability(unsigned capability) {
  const Caps now(cap_get_proc());
  return now && is_set(now, capability, CAP_EFFECTIVE);
}

Result<> keep_capabilities(std::span<const unsigned> kept, std::span<const unsigned> bounds) {
  const Caps now(cap_get_proc()), left(cap_init());
  if (!now || !left) return sys_error("reading our capabilities");
  for (const unsigned capability : kept) {
    if (!is_set(now, capability, CAP_PERMITTED)) continue;
    const auto value = static_cast<cap_value_t>(capability);
    for (const cap_flag_t flag : {CAP_PERMITTED, CAP_EFFECTIVE})
      if (cap_set_flag(left.get(), flag, 1, &value, CAP_SET) != 0) return sys_error("choosing capabilities");
  }
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return sys_error("clearing ambient capabilities");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return sys_error("setting no_new_privs");
  // Without CAP_SETPCAP the bounding set cannot be lowered; no_new_privs makes it meaningless.
  if (is_set(now, CAP_SETPCAP, CAP_EFFECTIVE)) NH_TRY(lower_bounds(bounds));
  if (cap_set_proc(left.get()) != 0) return sys_error("dropping capabilities");
  return Ok{};
}

Result<> keep_network_capabilities() {
  constexpr std::array<unsigned, 3> kept{CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE};
  return keep_capabilities(kept, kept);
}

}  // namespace nh
