// SPDX-License-Identifier: BSD-3-Clause
#include "src/base/hash.h"

#include <array>

#include "src/base/address.h"
#include "tests/support/catch.h"
#include "tests/support/hash_flood.h"

using namespace nh;
using namespace nh::test;

namespace {

// The key of the published vectors: the bytes 00 01 .. 0f.
constexpr HashKey vector_key{.low = 0x0706050403020100, .high = 0x0f0e0d0c0b0a0908};

// Of the message 00 01 02 .. of so many words.
template <unsigned c, unsigned d>
std::uint64_t of_words(unsigned words, const HashKey& key = vector_key) {
  SipHash<c, d> hash(key);
  for (std::uint64_t i = 0; i < words; ++i) hash.add(0x0706050403020100 + i * 0x0808080808080808);
  return hash.finish();
}

Address nth_address(std::uint32_t n) {
  return Address::v4(0x0a000000 + n);
}
Endpoint nth_endpoint(std::uint32_t n) {
  return {nth_address(n / 50000), static_cast<std::uint16_t>(1024 + n % 50000)};
}

}  // namespace

TEST_CASE("SipHash gives the published values", "[hash]") {
  // vectors_sip64 of the reference implementation (github.com/veorq/SipHash).
  CHECK(of_words<2, 4>(0) == 0x726fdb47dd0e0e31);
  CHECK(of_words<2, 4>(1) == 0x93f5f5799a932462);
  CHECK(of_words<2, 4>(2) == 0x3f2acc7f57c29bdb);
  CHECK(of_words<2, 4>(3) == 0xb8ad50c6f649af94);
  CHECK(of_words<2, 4>(4) == 0x7127512f72f27cce);
  // hash(bytes) of CPython 3.11, which is SipHash-1-3, with PYTHONHASHSEED=0, which makes the key zero.
  CHECK(of_words<1, 3>(1, {}) == 0xead411e67ebe2eea);
  CHECK(of_words<1, 3>(2, {}) == 0x8972188433a5c5b7);
  CHECK(of_words<1, 3>(5, {}) == 0x95bc321ab41d8206);
}

TEST_CASE("the process has a key, and what compares different hashes differently", "[hash]") {
  CHECK((process_hash_key.low != 0 || process_hash_key.high != 0));
  const Address v4 = Address::v4(0x01020304);
  const std::array<std::uint8_t, 16> mapped_bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4};
  const Address mapped = Address::from_bytes(mapped_bytes);
  const std::hash<Address> of_address;
  const std::hash<Endpoint> of_endpoint;
  CHECK(of_address(v4) == of_address(Address::v4(0x01020304)));
  CHECK(of_address(v4) != of_address(mapped));
  CHECK(of_address(v4) != of_address(Address::v4(0x01020305)));
  CHECK(of_endpoint(Endpoint{v4, 80}) == of_endpoint(Endpoint{v4, 80}));
  CHECK(of_endpoint(Endpoint{v4, 80}) != of_endpoint(Endpoint{v4, 81}));
  CHECK(of_endpoint(Endpoint{v4, 80}) != of_endpoint(Endpoint{mapped, 80}));
}

TEST_CASE("keys that were chosen for one bucket of an unkeyed table spread over this one", "[hash]") {
  const auto addresses = colliding<Address, UnkeyedAddressHash>(nth_address);
  REQUIRE(longest_bucket<UnkeyedAddressHash>(addresses) == flood);
  CHECK(longest_bucket<std::hash<Address>>(addresses) <= longest_by_chance);

  const auto endpoints = colliding<Endpoint, UnkeyedEndpointHash>(nth_endpoint);
  REQUIRE(longest_bucket<UnkeyedEndpointHash>(endpoints) == flood);
  CHECK(longest_bucket<std::hash<Endpoint>>(endpoints) <= longest_by_chance);
}
