// SPDX-License-Identifier: BSD-3-Clause
// What somebody can do to a hash table who knows its hash: send keys that all fall into one bucket. For tests of tables whose
// keys the guest or a peer chooses.
#pragma once

#include <algorithm>
#include <cstdint>
#include <unordered_set>
#include <vector>

#include "src/base/address.h"
#include "tests/support/catch.h"

namespace nh::test {

/// Unkeyed hashes to attack: FNV-1a of the address, then the port.
struct UnkeyedAddressHash {
  std::size_t operator()(const Address& address) const {
    std::size_t h = 1469598103934665603ULL;
    for (const std::uint8_t byte : address.bytes()) h = (h ^ byte) * 1099511628211ULL;
    return h;
  }
};
struct UnkeyedEndpointHash {
  std::size_t operator()(const Endpoint& endpoint) const {
    return (UnkeyedAddressHash()(endpoint.address) ^ endpoint.port) * 1099511628211ULL;
  }
};

/// Keys in one flood.
inline constexpr std::size_t flood = 1000;
/// Of so many random keys in as many buckets one bucket has more than this with a chance of 1 in 10^12 (Poisson, mean 1).
inline constexpr std::size_t longest_by_chance = 16;

/// Those of nth(0), nth(1), ... that fall into the first bucket of a table of `flood` entries.
template <class Key, class Hash>
std::vector<Key> colliding(Key (*nth)(std::uint32_t)) {
  std::unordered_set<Key, Hash> table;
  table.reserve(flood);
  std::vector<Key> keys;
  // One in bucket_count() is such a key.
  for (std::uint32_t n = 0; keys.size() < flood && n < 10 * flood * table.bucket_count(); ++n)
    if (Hash()(nth(n)) % table.bucket_count() == 0) keys.push_back(nth(n));
  REQUIRE(keys.size() == flood);
  return keys;
}

template <class Hash, class Key>
std::size_t longest_bucket(const std::vector<Key>& keys) {
  std::unordered_set<Key, Hash> table;
  table.reserve(keys.size());
  for (const Key& key : keys) table.insert(key);
  std::size_t longest = 0;
  for (std::size_t i = 0; i < table.bucket_count(); ++i) longest = std::max(longest, table.bucket_size(i));
  return longest;
}

}  // namespace nh::test
