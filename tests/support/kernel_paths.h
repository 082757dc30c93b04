// SPDX-License-Identifier: BSD-3-Clause
// Values of KernelPath for tests.
#pragma once

#include <optional>

#include "netstack/relay/kernel_path.h"

namespace nh::test {

/// Ready: everything is proved, or all of one family. Off: because the agent is lost.
inline KernelPathState kernel_path_state(KernelPathState::Phase phase, std::optional<Family> only = std::nullopt) {
  KernelPathState state{.phase = phase};
  if (phase == KernelPathState::Phase::off) state.off_reason = "the agent is lost";
  for (const Family family : {Family::v4, Family::v6})
    if (!only || *only == family) state.steering.of(family) = {.serves = true, .dials = true};
  return state;
}

}  // namespace nh::test
