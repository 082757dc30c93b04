// SPDX-License-Identifier: BSD-3-Clause
// ForwardRules: what the control socket asks of whoever owns the forwards.
#pragma once

#include <cstdint>
#include <vector>

#include "netstack/relay/forward_spec.h"

namespace nh {

/// A forward that is in force.
struct ForwardEntry {
  std::uint64_t id = 0;  ///< from 1, never used again
  ForwardSpec spec;
  Endpoint bound;  ///< where it really listens: the port the kernel chose if 0 was asked for
  Address guest;   ///< where it really leads
};

class ForwardRules {
 public:
  virtual ~ForwardRules() = default;
  /// Errors: in_use, privileged, exhausted, missing, unsupported, denied; the message has errno and
  /// the cure, `field` the member of ForwardSpec at fault.
  virtual Result<ForwardEntry> add(const ForwardSpec& spec) = 0;
  /// False: there is no such rule. Established flows live on.
  virtual bool remove(std::uint64_t id) = 0;
  /// Ordered by id.
  virtual std::vector<ForwardEntry> list() const = 0;
};

}  // namespace nh
