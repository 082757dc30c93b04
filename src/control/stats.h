// SPDX-License-Identifier: BSD-3-Clause
// Stats: the few numbers that are cheap enough to be asked for every second (command `stats`); `info` has all of them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "netstack/relay/flow.h"

namespace nh {

struct Stats {
  /// How much of a limit (base/limits.h) is in use: a gauge.
  struct Use {
    std::string name;
    std::uint64_t used = 0, limit = 0;
  };

  Instant started{};
  std::uint64_t bytes_to_guest = 0, bytes_to_host = 0;   ///< payload of forwarded flows, ended ones included; only grow
  std::array<std::uint64_t, flow_paths> flows{};         ///< now, by FlowPath: a gauge
  std::array<std::uint64_t, flow_paths> flows_opened{};  ///< since the start, by FlowPath; only grow
  std::array<std::uint64_t, flow_ends> flows_ended{};    ///< since the start, by FlowEnd; only grow
  /// Whether TCP connections of the guest's take the kernel path now.
  PerFamily<bool> kernel_path = {};
  std::vector<Use> uses;
  std::uint64_t loop_turns = 0;  ///< since the start; only grows

  std::uint64_t& flows_of(FlowPath path) { return flows[static_cast<std::size_t>(path)]; }
  std::uint64_t& opened_of(FlowPath path) { return flows_opened[static_cast<std::size_t>(path)]; }
  std::uint64_t& ended_of(FlowEnd end) { return flows_ended[static_cast<std::size_t>(end)]; }
};

}  // namespace nh
