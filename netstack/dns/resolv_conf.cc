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

// The rest of a line that begins with `keyword`, as glibc reads it: the keyword at the start of the line, then a blank.
std::optional<std::string_view> rest_after(std::string_view keyword, std::string_view line) {
  if (!line.starts_with(keyword)) return std::nullopt;
  line.remove_prefix(keyword.size());
  const std::size_t start = line.find_first_not_of(blanks);
  if (start == 0) return std::nullopt;
  return start == std::string_view::npos ? std::string_view() : line.substr(start);
}

void add_server(std::string_view rest, std::vector<NameServer>& servers) {
  const std::string_view value = rest.substr(0, rest.find_first_of(" \t\r;#"));
  const auto server = parse_server(value);
  if (!server)
    log::rate_limited(log::Level::warning, "resolv.conf",
                      "resolv.conf: nameserver \"" + std::string(value) + "\" is not an address; skipped");
  else if (std::find(servers.begin(), servers.end(), *server) != servers.end())
    return;
  else if (servers.size() < limits::dns_resolvers)
    servers.push_back(*server);
  else
    log::rate_limited(log::Level::warning, "resolv.conf limit",
                      "resolv.conf: only the first " + std::to_string(limits::dns_resolvers) + " name servers are used");
}

// The number of a word like "timeout:3", from 1 to `most`.
std::optional<unsigned> number_after(std::string_view keyword, std::string_view word, unsigned most) {
  if (!word.starts_with(keyword)) return std::nullopt;
  const auto number = parse_unsigned(word.substr(keyword.size()), 0, UINT32_MAX, "option");
  return number ? std::optional(std::clamp(static_cast<unsigned>(*number), 1u, most)) : std::nullopt;
}

void add_options(std::string_view rest, ResolverOptions& options) {
  constexpr unsigned longest_timeout = 30, most_attempts = 5;  // glibc's RES_MAXRETRANS and RES_MAXRETRY
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find_first_of(blanks), rest.size());
    const std::string_view word = rest.substr(0, end);
    rest.remove_prefix(std::min(rest.find_first_not_of(blanks, end), rest.size()));
    if (word.starts_with('#') || word.starts_with(';')) return;
    if (word == "use-vc") options.use_vc = true;
    if (word == "rotate") options.rotate = true;
    if (const auto seconds = number_after("timeout:", word, longest_timeout))
      options.timeout = std::chrono::seconds(*seconds);
    if (const auto times = number_after("attempts:", word, most_attempts)) options.attempts = *times;
  }
}

}  // namespace

ResolvConf parse_resolv_conf(std::string_view text) {
  ResolvConf conf;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (const auto server = rest_after("nameserver", line)) add_server(*server, conf.servers);
    if (const auto words = rest_after("options", line)) add_options(*words, conf.options);
  }
  if (conf.servers.empty()) conf.servers.push_back({Address::loopback(Family::v4)});
  return conf;
}

ResolvConf read_resolv_conf(const std::string& path) {
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
