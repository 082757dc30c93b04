// SPDX-License-Identifier: BSD-3-Clause
// ForwardTable: the rules of the port forwards, whichever path carries them: TCP by libslirp, UDP by UdpForward.
#pragma once

#include <map>

#include "netstack/policy/address_plan.h"
#include "netstack/relay/udp_forward.h"
#include "netstack/slirp/slirp_stack.h"
#include "src/control/forward_rules.h"

namespace nh {

class ForwardTable final : public ForwardRules {
 public:
  /// Both paths must outlive the table.
  ForwardTable(const AddressPlan& plan, SlirpStack& slirp, UdpForward& udp) : plan_(plan), slirp_(slirp), udp_(udp) {}

  /// Listens at once. Errors name the field: in_use, privileged, missing (no such host address), exhausted
  /// (limits::forwards), unsupported (TCP between families), invalid (an address that no guest can have).
  Result<ForwardEntry> add(const ForwardSpec& spec) override;
  bool remove(std::uint64_t id) override;
  std::vector<ForwardEntry> list() const override;
  /// Ends every forward.
  void clear();

 private:
  Result<Address> guest_address(const ForwardSpec& spec) const;

  AddressPlan plan_;
  SlirpStack& slirp_;
  UdpForward& udp_;
  std::map<std::uint64_t, ForwardEntry> entries_;
  std::uint64_t next_id_ = 1;  ///< never used twice (slirp4netns's clients count on it)
};

}  // namespace nh
