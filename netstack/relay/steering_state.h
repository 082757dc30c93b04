// SPDX-License-Identifier: BSD-3-Clause
// FamilySteering: what stand-ins of one family can do at present, as the agent has proved it by connections of its own.
#pragma once

#include <string>

namespace nh {

struct FamilySteering {
  bool serves = false;             ///< a stand-in connects to a socket of the guest's that listens
  std::string serves_reason = {};  ///< why not; empty: the guest has no address to try it with yet
  /// A stand-in connects to a socket of the guest's that is connecting to the stand-in's address (TCP simultaneous open, RFC 9293
  /// 3.5). Apart from `serves`, as a guest's firewall may let in the answers to what the guest has dialled, and nothing else.
  bool dials = false;
  std::string dials_reason = {};  ///< as serves_reason
  bool any() const { return serves || dials; }
  friend bool operator==(const FamilySteering&, const FamilySteering&) = default;
};

}  // namespace nh
