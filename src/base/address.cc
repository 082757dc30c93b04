// SPDX-License-Identifier: BSD-3-Clause
#include "src/base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "src/base/number.h"

namespace nh {
namespace {

Error invalid(std::string_view name, const std::string& rule, std::string_view text) {
  return Error{.code = Code::invalid,
               .what = std::string(name) + " must be " + rule + ", not \"" + std::string(text) + "\"",
               .field = std::string(name)};
}

bool prefix_equal(Bytes a, Bytes b, unsigned bits) {
  const std::size_t whole = bits / 8;
  if (!std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(whole), b.begin())) return false;
  const unsigned rest = bits % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xff00u >> rest);
  return ((a[whole] ^ b[whole]) & mask) == 0;
}

unsigned width(Family family) {
  return family == Family::v4 ? 32 : 128;
}

}  // namespace

Address Address::from_bytes(Bytes bytes) {
  NH_BUG_IF(bytes.size() != 4 && bytes.size() != 16);
  Address a;
  if (bytes.size() == 16) a.family_ = Family::v6;
  std::copy(bytes.begin(), bytes.end(), a.bytes_.end() - static_cast<std::ptrdiff_t>(bytes.size()));
  return a;
}

Result<Address> Address::parse(std::string_view text, std::string_view name) {
  const std::string copy(text);
  std::array<std::uint8_t, 16> raw{};
  if (text.find('\0') != std::string_view::npos) return invalid(name, "an IPv4 or IPv6 address", text);
  if (inet_pton(AF_INET, copy.c_str(), raw.data()) == 1) return from_bytes(Bytes(raw).first(4));
  if (inet_pton(AF_INET6, copy.c_str(), raw.data()) == 1) return from_bytes(raw);
  return invalid(name, "an IPv4 or IPv6 address", text);
}

Address Address::any(Family family) {
  return family == Family::v4 ? Address() : from_bytes(std::array<std::uint8_t, 16>{});
}

Address Address::loopback(Family family) {
  if (family == Family::v4) return v4(INADDR_LOOPBACK);
  std::array<std::uint8_t, 16> raw{};
  raw[15] = 1;
  return from_bytes(raw);
}

std::uint32_t Address::v4_value() const {
  NH_BUG_IF(!is_v4());
  return (std::uint32_t{bytes_[12]} << 24) | (std::uint32_t{bytes_[13]} << 16) | (std::uint32_t{bytes_[14]} << 8) |
         bytes_[15];
}

bool Address::is_unspecified() const {
  return *this == any(family_);
}
bool Address::is_loopback() const {
  return is_v4() ? bytes_[12] == 127 : *this == loopback(Family::v6);
}
bool Address::is_multicast() const {
  return is_v4() ? (bytes_[12] & 0xf0) == 0xe0 : bytes_[0] == 0xff;
}
bool Address::is_link_local() const {
  return is_v4() ? bytes_[12] == 169 && bytes_[13] == 254 : bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}
bool Address::is_broadcast() const {
  return is_v4() && v4_value() == INADDR_BROADCAST;
}

bool Address::is_v4_mapped() const {
  return is_v6() && std::all_of(bytes_.begin(), bytes_.begin() + 10, [](auto b) { return b == 0; }) && bytes_[10] == 0xff &&
         bytes_[11] == 0xff;
}

bool Address::is_v4_compatible() const {
  return is_v6() && std::all_of(bytes_.begin(), bytes_.begin() + 12, [](auto b) { return b == 0; }) && !is_unspecified() &&
         !is_loopback();
}

std::string Address::text() const {
  char buffer[INET6_ADDRSTRLEN];
  return inet_ntop(is_v4() ? AF_INET : AF_INET6, bytes().data(), buffer, sizeof buffer);
}

std::string Endpoint::text() const {
  std::string text = address.is_v4() ? std::string() : "[";
  text += address.text();
  text += address.is_v4() ? ":" : "]:";
  text += std::to_string(port);
  return text;
}

Result<Cidr> Cidr::parse(std::string_view text, std::string_view name) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return invalid(name, "a network such as 10.0.2.0/24 or fd00::/64", text);
  NH_LET(address, Address::parse(text.substr(0, slash), name));
  NH_LET(prefix, parse_unsigned(text.substr(slash + 1), 0, width(address.family()), name));
  const Cidr cidr = of(address, static_cast<unsigned>(prefix));
  if (cidr.network_ != address) return invalid(name, "a network address (" + cidr.text() + ") without host bits", text);
  return cidr;
}

Cidr Cidr::of(const Address& address, unsigned prefix) {
  NH_BUG_IF(prefix > width(address.family()));
  std::array<std::uint8_t, 16> raw{};
  const Bytes from = address.bytes();
  for (unsigned bit = 0; bit < prefix; bit += 8) {
    const unsigned keep = std::min(8u, prefix - bit);
    raw[bit / 8] = static_cast<std::uint8_t>(from[bit / 8] & (0xff00u >> keep));
  }
  return Cidr(Address::from_bytes(Bytes(raw).first(from.size())), prefix);
}

bool Cidr::contains(const Address& address) const {
  return address.family() == family() && prefix_equal(address.bytes(), network_.bytes(), prefix_);
}

Address Cidr::host(std::uint32_t offset) const {
  std::array<std::uint8_t, 16> raw{};
  const Bytes from = network_.bytes();
  std::copy(from.begin(), from.end(), raw.begin());
  for (unsigned i = 0; i < 4; ++i) raw[from.size() - 1 - i] |= static_cast<std::uint8_t>(offset >> (8 * i));
  return Address::from_bytes(Bytes(raw).first(from.size()));
}

Address Cidr::last() const {
  std::array<std::uint8_t, 16> raw{};
  const Bytes from = network_.bytes();
  std::copy(from.begin(), from.end(), raw.begin());
  for (unsigned bit = prefix_; bit < width(family()); ++bit) raw[bit / 8] |= static_cast<std::uint8_t>(0x80u >> (bit % 8));
  return Address::from_bytes(Bytes(raw).first(from.size()));
}

std::string Cidr::text() const {
  return network_.text() + "/" + std::to_string(prefix_);
}

Result<MacAddress> MacAddress::parse(std::string_view text, std::string_view name) {
  constexpr std::size_t text_size = 17;
  MacAddress mac;
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
  };
  bool good = text.size() == text_size;
  for (std::size_t i = 0; good && i < 6; ++i) {
    const int high = digit(text[3 * i]);
    const int low = digit(text[3 * i + 1]);
    good = high >= 0 && low >= 0 && (i == 5 || text[3 * i + 2] == ':');
    mac.bytes[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  if (!good || mac.is_multicast() || mac == MacAddress{})
    return invalid(name, "a unicast address like 02:00:00:00:00:01", text);
  return mac;
}

Address eui64_address(const Address& prefix, const MacAddress& mac) {
  const auto& m = mac.bytes;
  const std::array<std::uint8_t, 8> id{static_cast<std::uint8_t>(m[0] ^ 2), m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]};
  std::array<std::uint8_t, 16> bytes{};
  const Bytes front = prefix.bytes().first(8);
  std::copy(front.begin(), front.end(), bytes.begin());
  std::copy(id.begin(), id.end(), bytes.begin() + 8);
  return Address::from_bytes(bytes);
}

std::string MacAddress::text() const {
  constexpr char hex[] = "0123456789abcdef";
  std::string out;
  for (const std::uint8_t byte : bytes) {
    if (!out.empty()) out += ':';
    out += hex[byte >> 4];
    out += hex[byte & 15];
  }
  return out;
}

SockAddr::SockAddr(const Endpoint& endpoint, std::uint32_t scope_id) {
  if (endpoint.address.is_v4()) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(endpoint.port);
    std::memcpy(&in.sin_addr, endpoint.address.bytes().data(), 4);
    std::memcpy(&storage, &in, sizeof in);
    length = sizeof in;
  } else {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(endpoint.port);
    in.sin6_scope_id = scope_id;
    std::memcpy(&in.sin6_addr, endpoint.address.bytes().data(), 16);
    std::memcpy(&storage, &in, sizeof in);
    length = sizeof in;
  }
}

Result<Endpoint> SockAddr::endpoint() const {
  if (storage.ss_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &storage, sizeof in);
    return Endpoint{Address::v4(ntohl(in.sin_addr.s_addr)), ntohs(in.sin_port)};
  }
  if (storage.ss_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, &storage, sizeof in);
    const Address address = Address::from_bytes(Bytes(in.sin6_addr.s6_addr, 16));
    if (address.is_v4_mapped()) return Endpoint{Address::from_bytes(address.bytes().subspan(12)), ntohs(in.sin6_port)};
    return Endpoint{address, ntohs(in.sin6_port)};
  }
  return Error{.code = Code::unsupported, .what = "socket address of family " + std::to_string(storage.ss_family)};
}

}  // namespace nh
