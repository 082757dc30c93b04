// SPDX-License-Identifier: BSD-3-Clause
// ForwardTable: the rules of one transport and one port, as slirp4netns's commands know them, over all rules.
#pragma once

#include "src/control/forward_rules.h"
#include "src/control/rules.h"

namespace nh {

class ForwardTable final : public ForwardRules {
 public:
  /// `rules` must outlive the table.
  explicit ForwardTable(Rules& rules) : rules_(rules) {}

  Result<ForwardEntry> add(const ForwardSpec& spec) override;
  bool remove(std::uint64_t id) override;
  std::vector<ForwardEntry> list() const override;

 private:
  Rules& rules_;
};

}  // namespace nh
