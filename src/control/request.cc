// SPDX-License-Identifier: BSD-3-Clause
#include "src/control/request.h"

#include <algorithm>
#include <limits>

namespace nh {
namespace {

Error broken(std::string_view field, std::string rule) {
  return Error{.code = Code::invalid, .what = std::move(rule), .field = std::string(field)};
}

const Json* find(const Json& object, const std::string& name) {
  const auto member = object.find(name);
  return member == object.end() ? nullptr : &*member;
}

Result<const Json*> require(const Json& object, const std::string& name) {
  const Json* member = find(object, name);
  if (member == nullptr) return broken(name, "is missing");
  return member;
}

Result<Transport> parse_proto(const Json& arguments) {
  NH_LET(member, require(arguments, "proto"));
  NH_LET(text, string_of(*member, "proto"));
  if (text == "tcp") return Transport::tcp;
  if (text == "udp") return Transport::udp;
  return broken("proto", "must be \"tcp\" or \"udp\", not \"" + shown(text) + "\"");
}

/// nullopt: absent or empty.
Result<std::optional<Address>> parse_address(const Json& arguments, const std::string& name, Dialect dialect) {
  const Json* member = find(arguments, name);
  const bool nothing = member == nullptr || (member->is_null() && dialect == Dialect::slirp4netns);
  if (nothing) return std::optional<Address>();
  NH_LET(text, string_of(*member, name));
  if (text.empty()) return std::optional<Address>();
  // A NUL would end the text early for inet_pton(3).
  auto address = Address::parse(text.substr(0, text.find('\0')), name);
  if (!address || text.find('\0') != text.npos)
    return broken(name, "must be an IPv4 or IPv6 address, not \"" + shown(text) + "\"");
  return std::optional<Address>(*address);
}

/// One host's, and of the family that it says.
Result<> check_single(const std::optional<Address>& address, std::string_view name) {
  if (!address || !(address->is_multicast() || address->is_broadcast() || address->is_v4_mapped())) return Ok{};
  return broken(name, "must be an address of " + std::string(name == "host_addr" ? "this host" : "the guest") + ", not " +
                          address->text());
}

}  // namespace

Result<> check_members(const Json& object, std::span<const std::string_view> known) {
  for (const auto& [name, value] : object.items()) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    std::string names;
    for (const auto each : known) names += (names.empty() ? "" : ", ") + std::string(each);
    return broken(shown(name), names.empty() ? "there are none" : "there are only " + names);
  }
  return Ok{};
}

Result<RuleSpec> parse_hostfwd(const Json& arguments, Dialect dialect) {
  NH_LET(transport, parse_proto(arguments));
  NH_LET(host_address, parse_address(arguments, "host_addr", dialect));
  NH_LET(host_port_member, require(arguments, "host_port"));
  NH_LET(host_port_number, integer_of(*host_port_member, 0, 65535, "host_port"));
  NH_LET(guest_address, parse_address(arguments, "guest_addr", dialect));
  NH_LET(guest_port_member, require(arguments, "guest_port"));
  NH_LET(guest_port_number, integer_of(*guest_port_member, 1, 65535, "guest_port"));

  // libslirp takes the guest address 0.0.0.0 for "the guest", and so do slirp4netns's clients.
  const bool native = dialect == Dialect::native;
  if (!native && guest_address && guest_address->is_unspecified()) guest_address.reset();
  NH_TRY(check_single(host_address, "host_addr"));
  NH_TRY(check_single(guest_address, "guest_addr"));
  if (guest_address && guest_address->is_unspecified())
    return broken("guest_addr", "must be an address of the guest, not " + guest_address->text());

  const auto host_port = static_cast<std::uint16_t>(host_port_number);
  const auto guest_port = static_cast<std::uint16_t>(guest_port_number);
  RuleSpec spec;
  spec.tcp = transport == Transport::tcp;
  spec.udp = !spec.tcp;
  spec.host_address = host_address.value_or(Address::any(Family::v4));
  spec.host_ports = {{host_port, host_port}};
  spec.guest_address = guest_address;
  spec.guest_ports = {{guest_port, guest_port}};
  return spec;
}

Result<std::uint64_t> parse_id(const Json& arguments, const std::string& name) {
  NH_LET(member, require(arguments, name));
  return integer_of(*member, 1, std::numeric_limits<std::int64_t>::max(), name);
}

}  // namespace nh
