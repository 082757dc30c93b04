// SPDX-License-Identifier: BSD-3-Clause
// resolv.conf(5): the nameserver lines, and those options that say how servers are asked.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/address.h"

namespace nh {

struct NameServer {
  Address address;
  std::uint32_t scope = 0;  ///< interface index of a link-local address
  friend bool operator==(const NameServer&, const NameServer&) = default;
};

/// The options that concern a forwarder. The others (search, ndots, edns0, trust-ad, ...) say what a program asks, which is the
/// guest's affair.
struct ResolverOptions {
  bool use_vc = false;                               ///< ask over TCP only
  bool rotate = false;                               ///< begin with another server each time
  std::optional<std::chrono::seconds> timeout = {};  ///< for an answer before the next server is asked: 1 to 30
  std::optional<unsigned> attempts = {};             ///< how often each server is asked: 1 to 5
  friend bool operator==(const ResolverOptions&, const ResolverOptions&) = default;
};

struct ResolvConf {
  std::vector<NameServer> servers;  ///< at most limits::dns_resolvers, each once; never empty
  ResolverOptions options;
};

/// A file's text. Name servers that are no address are skipped with a rate-limited log line, other words that are not understood
/// without one. No server: 127.0.0.1, as resolv.conf(5) says. A number that is too large counts as the largest, as in glibc.
ResolvConf parse_resolv_conf(std::string_view text);

/// The same of a file; one that is missing, unreadable or not a regular file counts as empty.
ResolvConf read_resolv_conf(const std::string& path);

}  // namespace nh
