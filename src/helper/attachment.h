// SPDX-License-Identifier: BSD-3-Clause
// Attachment: the helper's hold on the guest: its target, its TAP, and the agent that lives there (if any can).
//
// It is the part of the start that needs the system. begin(): the target is opened, the agent forked, the TAP made or
// taken. Then the agent configures the interfaces, while the helper builds its network; finish() waits for it. A TAP whose namespace the kernel does not let us find is used as it is, without agent.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netstack/plan/address_plan.h"
#include "src/agent/agent_link.h"
#include "src/helper/options.h"

namespace nh {

struct Attachment {
  explicit Attachment(const AddressPlan& address_plan) : plan(address_plan) {}

  /// Must run before any thread exists. interrupted: `signal_fd` became readable while waiting; also in finish().
  static Result<Attachment> begin(const Options& options, const AddressPlan& plan, const Clock& clock, int signal_fd);
  /// Fills what is named below. Once.
  Result<> finish(const Options& options);

  Target target;
  UniqueFd tap;
  TapInfo info;
  std::unique_ptr<AgentLink> agent;  ///< null: a bare TAP
  AddressPlan plan;                  ///< finish() takes IPv6 out if the guest has none
  TapState state;                    ///< by finish(): at ready; without agent only the MAC
  bool ra_guard = false;             ///< by finish(): router advertisements must be kept from the guest
  std::vector<std::string> notes;    ///< what does not work here, and why
};

/// The address plan that the options ask for. invalid: names the option.
Result<AddressPlan> plan_addresses(const Options& options, std::vector<std::string>& ret_notes);

std::string target_kind_name(TargetKind kind);

}  // namespace nh
