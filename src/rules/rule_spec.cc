// SPDX-License-Identifier: BSD-3-Clause
#include "src/rules/rule_spec.h"

#include <net/if.h>
#include <sys/un.h>

#include <algorithm>

#include "src/rules/rule_words.h"

namespace nh {
namespace {

using rule_words::invalid;

// What an automatic rule follows unless told: ports that need no privilege on either side.
constexpr PortRange unprivileged_ports{1024, 65535};
// A unit's FileDescriptorName= (systemd.socket(5)).
constexpr std::size_t longest_fd_name = 255;

Result<> absent(const std::optional<std::string>& member, std::string_view field, const std::string& why) {
  if (member) return invalid(field, "must not be given: " + why);
  return Ok{};
}

Result<std::string> checked_interface(const std::string& name) {
  // dev_valid_name() of net/core/dev.c, and no bracket, which is the syntax's
  const bool fits = !name.empty() && name.size() < IFNAMSIZ && name != "." && name != "..";
  if (!fits || name.find_first_of("/:[] \t\n\v\f\r") != name.npos || name.find('\0') != name.npos)
    return invalid("host_interface", "must be the name of an interface, not \"" + name + "\"");
  return name;
}

Result<std::string> checked_path(const std::string& path) {
  if (path.empty() || path.front() != '/' || path.back() == '/')
    return invalid("host_unix", "must be the absolute path of a socket, not \"" + path + "\"");
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return invalid("host_unix", "is too long: a socket's path has at most 107 bytes (unix(7))");
  if (std::any_of(path.begin(), path.end(), [](unsigned char c) { return c < ' ' || c == 0x7f || c == ':'; }))
    return invalid("host_unix", "must not contain colons or control characters");
  return path;
}

Result<std::string> checked_fd_name(const std::string& name) {
  const bool clean = std::all_of(name.begin(), name.end(), [](unsigned char c) { return c > ' ' && c < 0x7f && c != ':'; });
  if (name.empty() || name.size() > longest_fd_name || !clean)
    return invalid("host_fd",
                   "must be the name (LISTEN_FDNAMES) or the index of an inherited listener, not \"" + name + "\"");
  return name;
}

Result<Address> checked_address(const std::string& text, std::string_view field, bool may_be_wildcard) {
  // A NUL would end the text early for inet_pton(3).
  auto address = Address::parse(text.substr(0, text.find('\0')), field);
  const bool usable = address && text.find('\0') == text.npos && !address->is_multicast() && !address->is_broadcast() &&
                      !address->is_v4_mapped() && (may_be_wildcard || !address->is_unspecified());
  if (!usable)
    return invalid(field, "must be an address of " + std::string(field == "host_addr" ? "this host" : "the guest") +
                              ", not \"" + text + "\"");
  return *address;
}

Result<> fill_protocols(const RuleFields& fields, RuleSpec& spec) {
  const std::string proto = fields.proto.value_or("tcp");
  if (proto != "tcp" && proto != "udp" && proto != "both")
    return invalid("proto", "must be tcp, udp or both, not \"" + proto + "\"");
  spec.tcp = proto != "udp";
  spec.udp = proto != "tcp";
  return Ok{};
}

Result<> fill_host_address(const RuleFields& fields, RuleSpec& spec, bool may_be_wildcard) {
  if (!fields.host_addr) return Ok{};
  NH_LET(address, checked_address(*fields.host_addr, "host_addr", may_be_wildcard));
  spec.host_address = address;
  return Ok{};
}

Result<> fill_guest_address(const RuleFields& fields, RuleSpec& spec, bool may_be_wildcard) {
  if (!fields.guest_addr) return Ok{};
  NH_LET(address, checked_address(*fields.guest_addr, "guest_addr", may_be_wildcard));
  spec.guest_address = address;
  return Ok{};
}

Result<> same_count(const RuleSpec& spec, std::string_view field) {
  const std::size_t host = port_count(spec.host_ports), guest = port_count(spec.guest_ports);
  if (host == guest) return Ok{};
  return invalid(field, "has " + std::to_string(field == "host_port" ? host : guest) + " ports where " +
                            (field == "host_port" ? "guest_port" : "host_port") + " has " +
                            std::to_string(field == "host_port" ? guest : host));
}

// A Unix socket or an inherited listener: one stream, one port of the guest.
Result<> one_stream(const RuleFields& fields, RuleSpec& spec, const std::string& why) {
  NH_TRY(absent(fields.host_addr, "host_addr", why));
  NH_TRY(absent(fields.host_interface, "host_interface", why));
  NH_TRY(absent(fields.host_port, "host_port", why));
  if (spec.udp) return invalid("proto", "must be tcp: " + why);
  if (!fields.guest_port) return invalid("guest_port", "is missing: " + why);
  NH_LET(ports, rule_words::parse_ports(*fields.guest_port, "guest_port", rule_words::Zero::refused));
  if (port_count(ports) != 1) return invalid("guest_port", "must be one port: " + why);
  spec.guest_ports = std::move(ports);
  return Ok{};
}

Result<> fill_forward(const RuleFields& fields, RuleSpec& spec) {
  NH_TRY(absent(fields.exclude, "exclude", "only an automatic rule excludes ports"));
  NH_TRY(fill_guest_address(fields, spec, false));
  if (fields.host_unix) {
    NH_TRY(absent(fields.host_fd, "host_fd", "the rule listens on a Unix socket"));
    NH_LET(path, checked_path(*fields.host_unix));
    spec.host_side = RuleSpec::HostSide::unix_path;
    spec.host_path = std::move(path);
    return one_stream(fields, spec, "the rule listens on a Unix socket");
  }
  if (fields.host_fd) {
    NH_LET(name, checked_fd_name(*fields.host_fd));
    spec.host_side = RuleSpec::HostSide::inherited;
    spec.host_name = std::move(name);
    return one_stream(fields, spec, "the rule takes an inherited listener");
  }
  NH_TRY(fill_host_address(fields, spec, true));
  if (!fields.host_port) return invalid("host_port", "is missing");
  NH_LET(host_ports, rule_words::parse_ports(*fields.host_port, "host_port", rule_words::Zero::alone));
  spec.host_ports = std::move(host_ports);
  if (!fields.guest_port && spec.host_ports.front().first == 0)
    return invalid("guest_port", "is missing: with host_port 0 it cannot be the same");
  NH_LET(guest_ports, rule_words::parse_ports(fields.guest_port ? *fields.guest_port : *fields.host_port, "guest_port",
                                              rule_words::Zero::refused));
  spec.guest_ports = std::move(guest_ports);
  return same_count(spec, "guest_port");
}

Result<> fill_automatic(const RuleFields& fields, RuleSpec& spec) {
  const std::string why = "an automatic rule leads to where the guest listens";
  NH_TRY(absent(fields.host_unix, "host_unix", why));
  NH_TRY(absent(fields.host_fd, "host_fd", why));
  NH_TRY(absent(fields.guest_addr, "guest_addr", why));
  NH_TRY(absent(fields.guest_port, "guest_port", why));
  NH_TRY(fill_host_address(fields, spec, true));
  spec.host_ports = {unprivileged_ports};
  if (fields.host_port) {
    NH_LET(ports, rule_words::parse_ports(*fields.host_port, "host_port", rule_words::Zero::refused));
    spec.host_ports = std::move(ports);
  }
  if (fields.exclude) {
    NH_LET(excluded, rule_words::parse_ports(*fields.exclude, "exclude", rule_words::Zero::refused));
    spec.excluded = std::move(excluded);
  }
  return Ok{};
}

Result<> fill_reverse(const RuleFields& fields, RuleSpec& spec) {
  const std::string why = "a reverse rule leads to one service of the host";
  NH_TRY(absent(fields.exclude, "exclude", "only an automatic rule excludes ports"));
  NH_TRY(absent(fields.host_fd, "host_fd", why));
  NH_TRY(absent(fields.host_interface, "host_interface", why));
  NH_TRY(fill_guest_address(fields, spec, true));
  if (fields.host_unix) {
    NH_LET(path, checked_path(*fields.host_unix));
    spec.host_side = RuleSpec::HostSide::unix_path;
    spec.host_path = std::move(path);
    return one_stream(fields, spec, "the rule leads to a Unix socket");
  }
  NH_TRY(fill_host_address(fields, spec, false));
  if (!fields.guest_port) return invalid("guest_port", "is missing");
  NH_LET(guest_ports, rule_words::parse_ports(*fields.guest_port, "guest_port", rule_words::Zero::refused));
  spec.guest_ports = std::move(guest_ports);
  NH_LET(host_ports, rule_words::parse_ports(fields.host_port ? *fields.host_port : *fields.guest_port, "host_port",
                                             rule_words::Zero::refused));
  spec.host_ports = std::move(host_ports);
  return same_count(spec, "host_port");
}

}  // namespace

Result<RuleSpec> RuleSpec::make(const RuleFields& fields) {
  RuleSpec spec;
  NH_TRY(fill_protocols(fields, spec));
  if (fields.host_interface) {
    NH_TRY(absent(fields.host_addr, "host_addr", "host_interface stands for its addresses"));
    NH_LET(name, checked_interface(*fields.host_interface));
    spec.host_interface = std::move(name);
  }
  const std::string kind = fields.kind.value_or("forward");
  if (kind == "forward") {
    NH_TRY(fill_forward(fields, spec));
  } else if (kind == "auto") {
    spec.kind = Kind::automatic;
    NH_TRY(fill_automatic(fields, spec));
  } else if (kind == "reverse") {
    spec.kind = Kind::reverse;
    NH_TRY(fill_reverse(fields, spec));
  } else {
    return invalid("kind", "must be forward, auto or reverse, not \"" + kind + "\"");
  }
  return spec;
}

std::string_view kind_name(RuleSpec::Kind kind) {
  switch (kind) {
    case RuleSpec::Kind::forward:
      return "forward";
    case RuleSpec::Kind::automatic:
      return "auto";
    case RuleSpec::Kind::reverse:
      break;
  }
  return "reverse";
}

std::string ports_text(const std::vector<PortRange>& ports) {
  std::string out;
  for (const PortRange& range : ports) {
    if (!out.empty()) out += ",";
    out += std::to_string(range.first);
    if (range.last != range.first) out += "-" + std::to_string(range.last);
  }
  return out;
}

std::size_t port_count(const std::vector<PortRange>& ports) {
  std::size_t count = 0;
  for (const PortRange& range : ports) count += std::size_t{range.last} - range.first + 1;
  return count;
}

}  // namespace nh
