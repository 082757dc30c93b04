// SPDX-License-Identifier: BSD-3-Clause
// RuleSpec: a rule of the port forwards as a user gives it, by word or by JSON, parsed. It has no invalid state.
//
// Kinds:
//   forward  host -> guest. Host side: ports of an address or of an interface, a Unix socket, or a listener that we were started
//            with (LISTEN_FDS, sd_listen_fds(3)). Guest side: the guest's address of that family unless one is given.
//   automatic  host -> guest: follows the ports that guest programs listen on, within `host_port` and without `exclude`.
//   reverse  guest -> host: a port of the guest's own namespace (127.0.0.1 unless an address is given) that leads to one
//            service of the host: an address and port, or a Unix socket.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/address.h"
#include "src/base/transport.h"

namespace nh {

struct PortRange {
  std::uint16_t first = 0, last = 0;
  friend bool operator==(const PortRange&, const PortRange&) = default;
};

/// The members as they were given, by whichever syntax; nullopt: not given. What `field` of an error names.
struct RuleFields {
  std::optional<std::string> kind;            ///< "forward" (default), "auto", "reverse"
  std::optional<std::string> proto;           ///< "tcp" (default), "udp", "both"
  std::optional<std::string> host_addr;       ///< an address
  std::optional<std::string> host_interface;  ///< instead of an address: its addresses, and only packets that come by it
  std::optional<std::string> host_port;       ///< "8080", "0", "8000-8010", "80,443,8000-8010"
  std::optional<std::string> host_unix;       ///< absolute path of a Unix stream socket, instead of address and port
  std::optional<std::string> host_fd;         ///< name or index of an inherited listener, instead of address and port
  std::optional<std::string> guest_addr;
  std::optional<std::string> guest_port;  ///< as many ports as host_port has, or one for a single one; default: the same
  std::optional<std::string> exclude;     ///< automatic only: ports and ranges that are never forwarded
};

struct RuleSpec {
  enum class Kind : std::uint8_t { forward, automatic, reverse };
  enum class HostSide : std::uint8_t { ports, unix_path, inherited };

  Kind kind = Kind::forward;
  bool tcp = true, udp = false;  ///< at least one
  HostSide host_side = HostSide::ports;
  std::optional<Address> host_address;  ///< nullopt: 127.0.0.1, or every address of host_interface
  std::string host_interface;
  std::vector<PortRange> host_ports;     ///< in the order given, none overlaps another; {0,0}: the kernel chooses
  std::string host_path;                 ///< unix_path, and reverse's goal if it is not empty
  std::string host_name;                 ///< inherited: name or index
  std::optional<Address> guest_address;  ///< nullopt: the guest's own of the family; reverse: 127.0.0.1
  std::vector<PortRange> guest_ports;    ///< as many ports as host_ports has; empty with automatic
  std::vector<PortRange> excluded;

  /// Errors are Code::invalid; `field` is the member of RuleFields.
  static Result<RuleSpec> make(const RuleFields& fields);
  /// The syntax of --forward (netns-helper(1), FORWARDS):
  ///   [HOST:]PORTS[:[GUEST:]PORTS][/PROTO]      HOST, GUEST: an IPv4 address, an IPv6 one in brackets; HOST also %INTERFACE
  ///   unix:PATH:[GUEST:]PORT                    fd:NAME:[GUEST:]PORT
  ///   auto[:[HOST:]PORTS][:!PORTS][/PROTO]
  ///   reverse:[GUEST:]PORTS:[HOST:]PORTS[/PROTO]    reverse:[GUEST:]PORT:unix:PATH
  static Result<RuleSpec> parse(std::string_view text);
  /// What parse() takes.
  std::string text() const;
  friend bool operator==(const RuleSpec&, const RuleSpec&) = default;
};

std::string_view kind_name(RuleSpec::Kind kind);  ///< "forward", "auto", "reverse"
/// "80,443,8000-8010"
std::string ports_text(const std::vector<PortRange>& ports);
std::size_t port_count(const std::vector<PortRange>& ports);

}  // namespace nh
