// SPDX-License-Identifier: BSD-3-Clause
// KeyedHash: the hash of every table whose keys the guest or a peer can choose.
//
// SipHash-1-3 with a random key of the process. Whoever does not know the key cannot choose keys that share a bucket, which
// would make each look-up in that table cost O(entries) (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012; Crosby
// and Wallach, "Denial of Service via Algorithmic Complexity Attacks", 2003). 1-3 is the variant that the tables of Linux
// (include/linux/siphash.h, hsiphash), Rust and CPython use; 2-4 would take about half as long again.
//
// A table names KeyedHash as its hash, and the key's type has a function
//   void hash_append(SipHash13& hash, const Key& key)
// in its namespace that adds whatever operator== compares.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>

namespace nh {

struct HashKey {
  std::uint64_t low = 0, high = 0;
};

/// The key of this process: from getrandom(2), made before main() runs and inherited over fork(2). Reading it costs no system
/// call and no lock. A kernel that gives no random bytes (Linux before 3.17) ends the process.
extern const HashKey process_hash_key;

/// SipHash-c-d of a message of whole 64-bit words, each taken as 8 bytes in little-endian order.
template <unsigned compression_rounds, unsigned final_rounds>
class SipHash {
 public:
  constexpr explicit SipHash(const HashKey& key)
      : v0_(key.low ^ 0x736f6d6570736575),
        v1_(key.high ^ 0x646f72616e646f6d),
        v2_(key.low ^ 0x6c7967656e657261),
        v3_(key.high ^ 0x7465646279746573) {}

  constexpr void add(std::uint64_t word) {
    ++words_;
    compress(word);
  }
  /// The hash of what was added. Once, as the last call.
  constexpr std::uint64_t finish() {
    compress(words_ << 59);  // the message's length in bytes, modulo 256, in the highest byte
    v2_ ^= 0xff;
    for (unsigned i = 0; i < final_rounds; ++i) round();
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

 private:
  constexpr void compress(std::uint64_t word) {
    v3_ ^= word;
    for (unsigned i = 0; i < compression_rounds; ++i) round();
    v0_ ^= word;
  }
  constexpr void round() {
    v0_ += v1_;
    v2_ += v3_;
    v1_ = std::rotl(v1_, 13) ^ v0_;
    v3_ = std::rotl(v3_, 16) ^ v2_;
    v0_ = std::rotl(v0_, 32);
    v2_ += v1_;
    v0_ += v3_;
    v1_ = std::rotl(v1_, 17) ^ v2_;
    v3_ = std::rotl(v3_, 21) ^ v0_;
    v2_ = std::rotl(v2_, 32);
  }

  std::uint64_t v0_, v1_, v2_, v3_;
  std::uint64_t words_ = 0;
};

using SipHash13 = SipHash<1, 3>;

template <std::unsigned_integral Number>
constexpr void hash_append(SipHash13& hash, Number number) {
  hash.add(number);
}

/// For std::unordered_map and the like.
struct KeyedHash {
  template <class Key>
  std::size_t operator()(const Key& key) const noexcept {
    SipHash13 hash(process_hash_key);
    hash_append(hash, key);
    return hash.finish();
  }
};

}  // namespace nh
