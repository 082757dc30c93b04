// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/dns/resolv_conf.h"

#include <fcntl.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "src/base/limits.h"
#include "src/base/log.h"
#include "src/base/number.h"
#include "src/base/unique_fd.h"

namespace nh {
namespace {

constexpr std::string_view blanks = " \t\r";

// The part after the % of a scoped address: an interface by number or by name; 0 if there is none
// such.
std::uint32_t scope_of(std::string_view text) {
  if (const auto number = parse_unsigned(text, 1, UINT32_MAX, "scope")) return static_cast<std::uint32_t>(*number);
  // Not if_nametoindex(3): it makes a Unix socket, which a confined process must not.
  ifreq request{};
  if (text.size() >= sizeof request.ifr_name) return 0;
  text.copy(request.ifr_name, text.size());
  const UniqueFd socket(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket || ioctl(socket.get(), SIOCGIFINDEX, &request) != 0) return 0;
  return static_cast<std::uint32_t>(request.ifr_ifindex);
}

std::optional<NameServer> parse_server(std::string_view text) {
  const std::size_t percent = text.find('%');
  const auto address = Address::parse(text.substr(0, percent), "nameserver");
  if (!address) return std::nullopt;
  NameServer server{*address};
  if (percent == std::string_view::npos) return server;
  server.scope = scope_of(text.substr(percent + 1));
  return server.address.is_v6() && server.scope != 0 ? std::optional(server) : std::nullopt;
}

// The value of a nameserver line, as glibc reads it: the keyword at the start of the line, the
// value up to a blank or comment.
std::optional<std::string_view> nameserver_value(std::string_view line) {
  constexpr std::string_view keyword = "nameserver";
  if (!line.starts_with(keyword)) return std::nullopt;
  line.remove_prefix(keyword.size());
  const std::size_t start = line.find_first_not_of(blanks);
  if (start == 0) return std::nullopt;
  if (start == std::string_view::npos) return std::string_view();
  line.remove_prefix(start);
  return line.substr(0, line.find_first_of(" \t\r;#"));
}

}  // namespace

std::vector<NameServer> parse_resolv_conf(std::string_view text) {
  std::vector<NameServer> servers;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto value = nameserver_value(line);
    if (!value) continue;
    const auto server = parse_server(*value);
    if (!server) {
      log::rate_limited(log::Level::warning, "resolv.conf",
                        "resolv.conf: nameserver \"" + std::string(*value) + "\" is not an address; skipped");
    } else if (servers.size() == limits::dns_resolvers) {
      log::rate_limited(log::Level::warning, "resolv.conf limit",
                        "resolv.conf: only the first " + std::to_string(limits::dns_resolvers) + " name servers are used");
      break;
    } else if (std::find(servers.begin(), servers.end(), *server) == servers.end()) {
      servers.push_back(*server);
    }
  }
  if (servers.empty()) servers.push_back({Address::loopback(Family::v4)});
  return servers;
}

std::vector<NameServer> read_resolv_conf(const std::string& path) {
  // O_NONBLOCK: the file might be a FIFO, and opening must not block.
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status {};
  std::string text;
  if (fd && fstat(fd.get(), &status) == 0 && S_ISREG(status.st_mode)) {
    text.resize(limits::dns_resolv_conf);
    std::size_t filled = 0;
    ssize_t size = 0;
    while (filled < text.size() && (size = read(fd.get(), text.data() + filled, text.size() - filled)) > 0)
      filled += static_cast<std::size_t>(size);
    text.resize(filled);
  } else {
    log::rate_limited(log::Level::warning, "resolv.conf unreadable", path + " cannot be read; using the resolver 127.0.0.1");
  }
  return parse_resolv_conf(text);
}

}  // namespace nh
