// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/forward_spec.h"

#include <vector>

namespace nh {
namespace {

Error invalid(std::string_view field, const std::string& what) {
  return Error{
      .code = Code::invalid, .what = std::string(field) + " " + what, .field = std::string(field)};
}

// The pieces between colons; a colon inside brackets belongs to its piece.
std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> pieces;
  std::size_t start = 0;
  bool inside = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '[') inside = true;
    if (text[i] == ']') inside = false;
    if (text[i] != ':' || inside) continue;
    pieces.push_back(text.substr(start, i - start));
    start = i + 1;
  }
  pieces.push_back(text.substr(start));
  return pieces;
}

bool looks_like_port(std::string_view piece) {
  return !piece.empty() && piece.find_first_not_of("0123456789") == std::string_view::npos;
}

Result<Address> parse_address(std::string_view piece, std::string_view field) {
  const bool bracketed = piece.size() >= 2 && piece.front() == '[' && piece.back() == ']';
  auto address = Address::parse(bracketed ? piece.substr(1, piece.size() - 2) : piece, field);
  if (!address || address->is_v6() != bracketed)
    return invalid(field, "must be an IPv4 address, or an IPv6 address in brackets, not \"" +
                              std::string(piece) + "\"");
  return address;
}

}  // namespace

std::string_view transport_name(Transport transport) {
  return transport == Transport::tcp ? "tcp" : "udp";
}

Result<> ForwardSpec::check() const {
  if (host_address.is_multicast() || host_address.is_broadcast() || host_address.is_v4_mapped())
    return invalid("host_address", "must be an address of this host, not " + host_address.text());
  if (guest_address && (guest_address->is_unspecified() || guest_address->is_multicast() ||
                        guest_address->is_broadcast() || guest_address->is_v4_mapped()))
    return invalid("guest_address",
                   "must be an address of the guest, not " + guest_address->text());
  return Ok{};
}

Result<ForwardSpec> ForwardSpec::parse(std::string_view text) {
  Transport transport = Transport::tcp;
  std::string_view ports = text;
  if (const std::size_t slash = text.rfind('/'); slash != std::string_view::npos) {
    const std::string_view name = text.substr(slash + 1);
    if (name != "tcp" && name != "udp")
      return invalid("protocol", "must be tcp or udp, not \"" + std::string(name) + "\"");
    if (name == "udp") transport = Transport::udp;
    ports = text.substr(0, slash);
  }

  const std::vector<std::string_view> pieces = split(ports);
  if (pieces.size() < 2 || pieces.size() > 4)
    return invalid("forward",
                   "must be [HOST_ADDR:]HOST_PORT:[GUEST_ADDR:]GUEST_PORT[/tcp|/udp] with IPv6 "
                   "addresses in brackets, not \"" +
                       std::string(text) + "\"");
  // Of three pieces one is an address; the first is one unless it can only be a port and the second
  // cannot.
  const bool has_host =
      pieces.size() == 4 ||
      (pieces.size() == 3 && !(looks_like_port(pieces[0]) && !looks_like_port(pieces[1])));
  const bool has_guest = pieces.size() == 4 || (pieces.size() == 3 && !has_host);

  std::size_t next = 0;
  Address host_address = Address::loopback(Family::v4);
  if (has_host) {
    NH_LET(address, parse_address(pieces[next++], "host_address"));
    host_address = address;
  }
  NH_LET(host_port, parse_unsigned(pieces[next++], 0, 65535, "host_port"));
  std::optional<Address> guest_address;
  if (has_guest) {
    NH_LET(address, parse_address(pieces[next++], "guest_address"));
    guest_address = address;
  }
  NH_LET(guest_port, Port::parse(pieces[next], "guest_port"));

  const ForwardSpec spec{transport, host_address, static_cast<std::uint16_t>(host_port),
                         guest_address, guest_port};
  NH_TRY(spec.check());
  return spec;
}

std::string ForwardSpec::text() const {
  const auto bracketed = [](const Address& address) {
    return address.is_v4() ? address.text() : "[" + address.text() + "]";
  };
  std::string out = bracketed(host_address) + ":" + std::to_string(host_port) + ":";
  if (guest_address) out += bracketed(*guest_address) + ":";
  return out + std::to_string(guest_port.value()) + "/" + std::string(transport_name(transport));
}

}  // namespace nh
