// SPDX-License-Identifier: BSD-3-Clause
// RuleSpec as one word: the syntax of --forward, both ways.
#include <algorithm>

#include "src/rules/rule_spec.h"
#include "src/rules/rule_words.h"

namespace nh {
namespace {

using rule_words::invalid;

constexpr std::string_view unix_prefix = "unix:", fd_prefix = "fd:", auto_word = "auto", reverse_prefix = "reverse:";

Error no_rule(std::string_view text, const std::string& form) {
  return invalid("rule", "must be " + form + " with IPv6 addresses in brackets, not \"" + std::string(text) + "\"");
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

bool looks_like_ports(std::string_view piece) {
  return !piece.empty() && piece.find_first_not_of("0123456789,-") == piece.npos;
}

// "1.2.3.4" or "[::1]": the address's text.
Result<std::string> address_of(std::string_view piece, std::string_view field) {
  const bool bracketed = piece.size() >= 2 && piece.front() == '[' && piece.back() == ']';
  const std::string_view text = bracketed ? piece.substr(1, piece.size() - 2) : piece;
  const auto address = Address::parse(text, field);
  if (!address || address->is_v6() != bracketed)
    return invalid(field, "must be an IPv4 address, or an IPv6 address in brackets, not \"" + std::string(piece) + "\"");
  return std::string(text);
}

Result<> set_host(std::string_view piece, RuleFields& fields) {
  if (piece.starts_with('%')) {
    fields.host_interface = std::string(piece.substr(1));
    return Ok{};
  }
  NH_LET(address, address_of(piece, "host_addr"));
  fields.host_addr = std::move(address);
  return Ok{};
}

Result<> set_guest(std::string_view piece, RuleFields& fields) {
  NH_LET(address, address_of(piece, "guest_addr"));
  fields.guest_addr = std::move(address);
  return Ok{};
}

// Takes "/tcp" off the end.
std::string_view without_proto(std::string_view text, RuleFields& fields) {
  const auto slash = text.rfind('/');
  if (slash == text.npos) return text;
  fields.proto = std::string(text.substr(slash + 1));
  return text.substr(0, slash);
}

// [GUEST:]PORT
Result<> read_guest_port(std::string_view text, RuleFields& fields) {
  const auto pieces = split(text);
  if (pieces.size() > 2) return invalid("guest_port", "must be [GUEST:]PORT, not \"" + std::string(text) + "\"");
  if (pieces.size() == 2) NH_TRY(set_guest(pieces.front(), fields));
  fields.guest_port = std::string(pieces.back());
  return Ok{};
}

// [HOST:]PORTS[:[GUEST:]PORTS][/PROTO]
Result<RuleFields> read_forward(std::string_view text) {
  RuleFields fields;
  const auto pieces = split(without_proto(text, fields));
  if (pieces.size() > 4 || (pieces.size() == 1 && pieces.front().empty()))
    return no_rule(text, "[HOST:]PORTS[:[GUEST:]PORTS][/tcp|/udp|/both]");
  // Of two or three pieces one may be an address; the first is one unless it can only be ports and, of three, the second cannot.
  const bool ports_first = looks_like_ports(pieces[0]);
  const bool has_host = pieces.size() == 4 || (pieces.size() == 2 && !ports_first) ||
                        (pieces.size() == 3 && !(ports_first && !looks_like_ports(pieces[1])));
  const std::size_t left = pieces.size() - (has_host ? 1 : 0);
  std::size_t next = 0;
  if (has_host) NH_TRY(set_host(pieces[next++], fields));
  fields.host_port = std::string(pieces[next++]);
  if (left == 3) NH_TRY(set_guest(pieces[next++], fields));
  if (left >= 2) fields.guest_port = std::string(pieces[next]);
  return fields;
}

// unix:PATH:[GUEST:]PORT and fd:NAME:[GUEST:]PORT, `text` without the prefix
Result<RuleFields> read_stream(std::string_view text, std::optional<std::string> RuleFields::*member,
                               const std::string& form) {
  const auto colon = text.find(':');
  if (colon == text.npos) return no_rule(text, form);
  RuleFields fields;
  fields.*member = std::string(text.substr(0, colon));
  NH_TRY(read_guest_port(text.substr(colon + 1), fields));
  return fields;
}

// auto[:[HOST:]PORTS][:!PORTS][/PROTO]
Result<RuleFields> read_automatic(std::string_view text) {
  RuleFields fields;
  fields.kind = "auto";
  auto pieces = split(without_proto(text, fields));
  if (pieces.size() > 1 && pieces.back().starts_with('!')) {
    fields.exclude = std::string(pieces.back().substr(1));
    pieces.pop_back();
  }
  if (pieces.size() > 3) return no_rule(text, "auto[:[HOST:]PORTS][:!PORTS][/tcp|/udp|/both]");
  if (pieces.size() == 3) NH_TRY(set_host(pieces[1], fields));
  if (pieces.size() > 1) fields.host_port = std::string(pieces.back());
  return fields;
}

// reverse:[GUEST:]PORTS:[HOST:]PORTS[/PROTO] and reverse:[GUEST:]PORT:unix:PATH, `text` without "reverse:"
Result<RuleFields> read_reverse(std::string_view text) {
  RuleFields fields;
  fields.kind = "reverse";
  const std::string separator = ":" + std::string(unix_prefix);
  if (const auto at = text.find(separator); at != text.npos) {
    fields.host_unix = std::string(text.substr(at + separator.size()));
    NH_TRY(read_guest_port(text.substr(0, at), fields));
    return fields;
  }
  const auto pieces = split(without_proto(text, fields));
  if (pieces.size() < 2 || pieces.size() > 4)
    return no_rule(text, "reverse:[GUEST:]PORTS:[HOST:]PORTS[/tcp|/udp|/both] or reverse:[GUEST:]PORT:unix:PATH");
  // Of three pieces the one that cannot be ports is the address.
  const bool has_guest = pieces.size() == 4 || (pieces.size() == 3 && !looks_like_ports(pieces[0]));
  const bool has_host = pieces.size() == 4 || (pieces.size() == 3 && !has_guest);
  std::size_t next = 0;
  if (has_guest) NH_TRY(set_guest(pieces[next++], fields));
  fields.guest_port = std::string(pieces[next++]);
  if (has_host) NH_TRY(set_host(pieces[next++], fields));
  fields.host_port = std::string(pieces[next]);
  return fields;
}

Result<RuleFields> read(std::string_view text) {
  if (text.starts_with(unix_prefix))
    return read_stream(text.substr(unix_prefix.size()), &RuleFields::host_unix, "unix:PATH:[GUEST:]PORT");
  if (text.starts_with(fd_prefix))
    return read_stream(text.substr(fd_prefix.size()), &RuleFields::host_fd, "fd:NAME:[GUEST:]PORT");
  if (text.starts_with(reverse_prefix)) return read_reverse(text.substr(reverse_prefix.size()));
  if (text.starts_with(auto_word)) {
    const std::string_view rest = text.substr(auto_word.size());
    if (rest.empty() || rest.front() == ':' || rest.front() == '/') return read_automatic(text);
  }
  return read_forward(text);
}

std::string bracketed(const Address& address) {
  return address.is_v4() ? address.text() : "[" + address.text() + "]";
}

std::string with_colon(const std::optional<Address>& address) {
  return address ? bracketed(*address) + ":" : std::string();
}

}  // namespace

Result<RuleSpec> RuleSpec::parse(std::string_view text) {
  NH_LET(fields, read(text));
  return make(fields);
}

std::string RuleSpec::text() const {
  const std::string proto = tcp && udp ? "/both" : udp ? "/udp" : "/tcp";
  const std::string host = host_interface.empty() ? with_colon(host_address) : "%" + host_interface + ":";
  const std::string guest = with_colon(guest_address) + ports_text(guest_ports);
  if (kind == Kind::automatic)
    return std::string(auto_word) + ":" + host + ports_text(host_ports) +
           (excluded.empty() ? "" : ":!" + ports_text(excluded)) + proto;
  if (kind == Kind::reverse) {
    const std::string goal =
        host_side == HostSide::unix_path ? std::string(unix_prefix) + host_path : host + ports_text(host_ports) + proto;
    return std::string(reverse_prefix) + guest + ":" + goal;
  }
  if (host_side == HostSide::unix_path) return std::string(unix_prefix) + host_path + ":" + guest;
  if (host_side == HostSide::inherited) return std::string(fd_prefix) + host_name + ":" + guest;
  return host + ports_text(host_ports) + ":" + guest + proto;
}

}  // namespace nh
