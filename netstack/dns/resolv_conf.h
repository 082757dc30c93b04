// SPDX-License-Identifier: BSD-3-Clause
// resolv.conf(5): the nameserver lines.
#pragma once

#include <cstdint>
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

/// The name servers of a file's text, at most limits::dns_resolvers, each once. Lines that are not
/// understood are skipped with a rate-limited log line. None: 127.0.0.1, as resolv.conf(5) says.
std::vector<NameServer> parse_resolv_conf(std::string_view text);

/// The same of a file; one that is missing, unreadable or not a regular file counts as empty.
std::vector<NameServer> read_resolv_conf(const std::string& path);

}  // namespace nh
