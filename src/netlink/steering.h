// SPDX-License-Identifier: BSD-3-Clause
// Steering: what makes the guest's answers to a foreign address arrive at a socket of ours inside its namespace.
//
// Theory of operation. A stand-in is a socket with IP_TRANSPARENT, bound to an address that is not the guest's, with the mark
// bit L. Its packets reach the guest's programs by the guest's own routes and DNAT. The answers would leave by the TAP; three
// things keep them here, for each family:
//   table T       local default dev lo
//   rule          fwmark M/M lookup T, before the main table
//   nf_tables     chain out, type route, at output:
//                   mark & L                            -> connection mark |= C, done
//                   connection mark has C:
//                     TCP with SYN and without ACK      -> connection mark &= ~C, done: the guest's own SYN is for the TAP, and
//                                                          whatever carries its connection then begins afresh
//                     everything else                   -> mark |= M, so it is routed anew and finds lo
//                 chain pre, at prerouting:
//                   from the TAP, source one of the TAP's addresses, belongs to a transparent socket -> mark |= M
//                     (a stray segment that was written back into the TAP)
//                   neither from the TAP nor from lo, connection mark has C (what comes from behind the guest):
//                     TCP with SYN and without ACK      -> connection mark &= ~C, done
//                     everything else                   -> mark |= M
//                 chain own, type nat, at postrouting, before what the guest has there:
//                   TCP out by the TAP, source one of the TAP's addresses -> keeps it (steering.cc says why)
// ICMP errors about such a connection carry its connection mark, and are steered like it.
// M, C and L are neighbouring bits that no rule of the guest uses, set by "or" and tested by mask. The name of the nf_tables
// table, which has an owner and so goes with its socket, claims the number T: rules and routes of our protocol number whose
// table has no such name are what a killed helper left, and are removed. Several helpers can steer in one namespace, and start
// in the same moment: who finds that the number was taken meanwhile looks again.
//
// Needs CAP_NET_ADMIN; everything that blocks is bounded by limits::nftables_answer.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "src/base/address.h"
#include "src/base/result.h"
#include "src/netlink/nl_socket.h"

namespace nh {

struct SteeringBits {
  std::uint32_t to_stand_in = 0;  ///< M, of packets
  std::uint32_t connection = 0;   ///< C, of connections
  std::uint32_t stand_in = 0;     ///< L, SO_MARK of stand-ins
  friend bool operator==(const SteeringBits&, const SteeringBits&) = default;
};

/// A rule of the guest that looks at marks.
struct MarkUse {
  std::uint32_t mark = 0, mask = 0;
  bool ours = false;  ///< of a helper: `mark` is its M
};

/// The highest three neighbouring bits that are free, bit 31 excepted (some programs take marks for signed). A mask of all
/// ones is what rules have that name a whole mark: of those the bits of the mark are in use. nullopt: there are none.
std::optional<SteeringBits> choose_bits(std::span<const MarkUse> uses);

class Steering {
 public:
  /// rtm_protocol and FRA_PROTOCOL of what we make: ip(8) shows it as "proto 78".
  static constexpr std::uint8_t protocol = 78;
  /// Priority of the rules: after the local table's (0), before what programs use for their own. One that is added without a
  /// priority comes before the first that there is but the local table's (fib_rules.c fib_default_rule_pref): then ours are put
  /// before it again.
  static constexpr std::uint32_t priority = 78;
  /// The first number for T.
  static constexpr std::uint32_t first_table = 20040;

  /// Both sockets must outlive it; `nftables` owns the tables. A family that cannot be steered is left out; an error, with
  /// nothing left behind, if neither can: the one of IPv4. Errors name what was refused.
  static Result<Steering> set_up(NlSocket& route, NlSocket& nftables, int tap, std::span<const Address> addresses);
  Steering(Steering&& other) noexcept;
  Steering& operator=(Steering&&) = delete;
  ~Steering();  ///< takes everything back

  const SteeringBits& bits() const { return bits_; }
  std::uint32_t table() const { return table_; }
  bool has(Family family) const { return !refusal(family); }
  /// Why a family is left out.
  const std::optional<Error>& refusal(Family family) const { return refused_[family == Family::v4 ? 0 : 1]; }

  /// The addresses of the TAP have changed.
  Result<> follow_addresses(std::span<const Address> addresses);
  /// Puts back rules and routes that are missing; gives the words for them ("IPv4 rule"), empty: none was.
  Result<std::vector<std::string>> repair();

 private:
  Steering(NlSocket& route, NlSocket& nftables, const SteeringBits& bits) : route_(&route), nft_(&nftables), bits_(bits) {}
  /// in_use: another helper was faster.
  static Result<Steering> set_up_once(NlSocket& route, NlSocket& nftables, int tap, std::span<const Address> addresses);
  Result<> claim(Family family, int tap, std::span<const Address> addresses);
  Result<> set_up_family(Family family);
  void undo(Family family);
  static std::size_t index(Family family) { return family == Family::v4 ? 0 : 1; }

  NlSocket* route_;
  NlSocket* nft_;
  SteeringBits bits_;
  std::uint32_t table_ = 0;
  std::array<std::uint32_t, 2> priorities_{priority, priority};
  std::array<std::optional<Error>, 2> refused_;
};

}  // namespace nh
