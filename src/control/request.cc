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
Result<std::optional<Address>> parse_address(const Json& arguments, const std::string& name,
                                             Dialect dialect) {
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

Result<ForwardSpec> parse_forward(const Json& arguments, Dialect dialect) {
  const bool native = dialect == Dialect::native;
  NH_LET(transport, parse_proto(arguments));
  NH_LET(host_address, parse_address(arguments, "host_addr", dialect));
  NH_LET(host_port_member, require(arguments, "host_port"));
  NH_LET(host_port, integer_of(*host_port_member, 0, 65535, "host_port"));
  NH_LET(guest_address, parse_address(arguments, "guest_addr", dialect));
  NH_LET(guest_port_member, require(arguments, "guest_port"));
  NH_LET(guest_port_number, integer_of(*guest_port_member, 1, 65535, "guest_port"));
  NH_LET(guest_port, Port::from(static_cast<std::int64_t>(guest_port_number), "guest_port"));

  // libslirp takes the guest address 0.0.0.0 for "the guest", and so do slirp4netns's clients.
  if (!native && guest_address && guest_address->is_unspecified()) guest_address.reset();
  const ForwardSpec spec{.transport = transport,
                         .host_address = host_address.value_or(Address::any(Family::v4)),
                         .host_port = static_cast<std::uint16_t>(host_port),
                         .guest_address = guest_address,
                         .guest_port = guest_port};
  if (auto checked = spec.check(); !checked) {
    Error error = std::move(checked).error();
    error.field = wire_name(error.field);
    return error;
  }
  return spec;
}

Result<std::uint64_t> parse_id(const Json& arguments, const std::string& name) {
  NH_LET(member, require(arguments, name));
  return integer_of(*member, 1, std::numeric_limits<std::int64_t>::max(), name);
}

std::string wire_name(std::string_view spec_field) {
  if (spec_field == "host_address") return "host_addr";
  if (spec_field == "guest_address") return "guest_addr";
  if (spec_field == "protocol") return "proto";
  return std::string(spec_field);
}

}  // namespace nh
