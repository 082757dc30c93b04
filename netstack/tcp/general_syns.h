// SPDX-License-Identifier: BSD-3-Clause
// GeneralSyns: the SYNs that took the general path not long ago, so that their copies take it too.
//
// Bounded by limits::outbound_general_syns; the oldest is forgotten first. Single-threaded.
#pragma once

#include <cstdint>
#include <deque>
#include <unordered_map>

#include "src/base/address.h"
#include "src/base/clock.h"
#include "src/base/hash.h"

namespace nh {

class GeneralSyns {
 public:
  explicit GeneralSyns(const Clock& clock) : clock_(clock) {}

  /// For limits::outbound_general_syn. `isn`: the SYN's sequence number.
  void add(const Endpoint& guest, const Endpoint& dialled, std::uint32_t isn);
  bool has(const Endpoint& guest, const Endpoint& dialled, std::uint32_t isn) const;

 private:
  struct Ends {
    Endpoint guest, dialled;
    friend bool operator==(const Ends&, const Ends&) = default;
    friend void hash_append(SipHash13& hash, const Ends& ends) {
      hash_append(hash, ends.guest);
      hash_append(hash, ends.dialled);
    }
  };
  struct Syn {
    std::uint32_t isn;
    Instant until;
  };

  const Clock& clock_;
  std::unordered_map<Ends, Syn, KeyedHash> syns_;
  std::deque<Ends> order_;  ///< oldest first; each is in syns_
};

}  // namespace nh
