// SPDX-License-Identifier: BSD-3-Clause
// Addresses: one type for IPv4 and IPv6, so that there is one code path. IPv4 is held as its v4-mapped form
// (::ffff:a.b.c.d, RFC 4291 2.5.5.2) next to the family; a v4-mapped address that came as IPv6 stays IPv6.
#pragma once

#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "src/base/hash.h"
#include "src/base/result.h"

namespace nh {

using Bytes = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;

enum class Family : std::uint8_t { v4 = 4, v6 = 6 };
inline constexpr std::array<Family, 2> families{Family::v4, Family::v6};

/// One value for each family.
template <class T>
struct PerFamily {
  T v4{}, v6{};
  T& of(Family family) { return family == Family::v4 ? v4 : v6; }
  const T& of(Family family) const { return family == Family::v4 ? v4 : v6; }
  friend bool operator==(const PerFamily&, const PerFamily&) = default;
};

class Address {
 public:
  /// 0.0.0.0
  constexpr Address() = default;
  /// From an IPv4 address in host byte order.
  static constexpr Address v4(std::uint32_t host_order) {
    Address a;
    for (int i = 0; i < 4; ++i) a.bytes_[12 + i] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
    return a;
  }
  /// From 4 (IPv4) or 16 (IPv6) bytes in network order; any other length is our bug.
  static Address from_bytes(Bytes bytes);
  /// Dotted quad or IPv6 text without brackets and scope.
  static Result<Address> parse(std::string_view text, std::string_view name = "address");
  static Address any(Family family);
  static Address loopback(Family family);

  Family family() const { return family_; }
  bool is_v4() const { return family_ == Family::v4; }
  bool is_v6() const { return family_ == Family::v6; }
  /// 4 or 16 bytes in network order; valid as long as this object.
  Bytes bytes() const { return is_v4() ? Bytes(bytes_).subspan(12) : Bytes(bytes_); }
  /// The IPv4 address in host byte order; on an IPv6 address our bug.
  std::uint32_t v4_value() const;

  bool is_unspecified() const;    ///< 0.0.0.0 or ::
  bool is_loopback() const;       ///< 127.0.0.0/8 or ::1
  bool is_multicast() const;      ///< 224.0.0.0/4 or ff00::/8
  bool is_link_local() const;     ///< 169.254.0.0/16 or fe80::/10
  bool is_broadcast() const;      ///< 255.255.255.255
  bool is_v4_mapped() const;      ///< IPv6 ::ffff:0:0/96
  bool is_v4_compatible() const;  ///< IPv6 ::/96 other than :: and ::1

  std::string text() const;
  friend constexpr auto operator<=>(const Address&, const Address&) = default;
  /// `port`: hashed with it, in the same word as the family.
  friend void hash_append(SipHash13& hash, const Address& address, std::uint16_t port = 0) {
    std::uint64_t halves[2];
    std::memcpy(halves, address.bytes_.data(), sizeof halves);
    hash.add(halves[0]);
    hash.add(halves[1]);
    hash.add(std::uint64_t{port} << 8 | static_cast<std::uint8_t>(address.family_));
  }

 private:
  Family family_ = Family::v4;
  std::array<std::uint8_t, 16> bytes_{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0};
};

struct Endpoint {
  Address address;
  std::uint16_t port = 0;  ///< host byte order

  std::string text() const;  ///< "1.2.3.4:80" or "[fd00::2]:80"
  friend constexpr auto operator<=>(const Endpoint&, const Endpoint&) = default;
  friend void hash_append(SipHash13& hash, const Endpoint& endpoint) { hash_append(hash, endpoint.address, endpoint.port); }
};

/// A network: address with no host bits set, and a prefix length.
class Cidr {
 public:
  /// "10.0.2.0/24"; host bits that are set are an error.
  static Result<Cidr> parse(std::string_view text, std::string_view name = "cidr");
  /// The network of `prefix` bits that address lies in. A prefix beyond the family's width is our bug.
  static Cidr of(const Address& address, unsigned prefix);

  const Address& network() const { return network_; }
  unsigned prefix() const { return prefix_; }
  Family family() const { return network_.family(); }
  bool contains(const Address& address) const;
  /// network + offset (of the lowest 32 bits).
  Address host(std::uint32_t offset) const;
  /// The highest address: for IPv4 the network's broadcast address.
  Address last() const;
  std::string text() const;
  friend auto operator<=>(const Cidr&, const Cidr&) = default;

 private:
  Cidr(Address network, unsigned prefix) : network_(network), prefix_(prefix) {}
  Address network_;
  unsigned prefix_ = 0;
};

struct MacAddress {
  std::array<std::uint8_t, 6> bytes{};

  /// "xx:xx:xx:xx:xx:xx", unicast.
  static Result<MacAddress> parse(std::string_view text, std::string_view name = "mac");
  bool is_multicast() const { return (bytes[0] & 1) != 0; }
  std::string text() const;
  friend constexpr auto operator<=>(const MacAddress&, const MacAddress&) = default;
};

/// The address that stateless autoconfiguration makes of a /64 prefix and a MAC: the modified EUI-64 interface identifier, with
/// ff:fe in the middle and the universal/local bit inverted (RFC 4291 appendix A).
Address eui64_address(const Address& prefix, const MacAddress& mac);

/// A sockaddr of either family with its length, for system calls.
struct SockAddr {
  sockaddr_storage storage{};
  socklen_t length = sizeof(sockaddr_storage);

  SockAddr() = default;
  explicit SockAddr(const Endpoint& endpoint, std::uint32_t scope_id = 0);
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  /// The endpoint, v4-mapped IPv6 turned into IPv4. unsupported: neither AF_INET nor AF_INET6.
  Result<Endpoint> endpoint() const;
};

}  // namespace nh

template <>
struct std::hash<nh::Endpoint> : nh::KeyedHash {};
template <>
struct std::hash<nh::Address> : nh::KeyedHash {};
