// SPDX-License-Identifier: BSD-3-Clause
// Everything about a network namespace that a plan can touch, as text: links, addresses, routes, neighbours, settings.
#pragma once

#include <netlink/cache.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "src/netlink/nl_socket.h"
#include "tests/support/namespaces.h"

namespace nh::test {

inline void append_text(nl_dump_params* parameters, char* text) {
  static_cast<std::string*>(parameters->dp_data)->append(text);
}

/// The objects of a cache, one a line, without what changes by itself (ages, counters).
inline std::string dump_cache(nl_cache* cache, nl_dump_type type) {
  std::string text;
  nl_dump_params parameters{};
  parameters.dp_type = type;
  parameters.dp_cb = &append_text;
  parameters.dp_data = &text;
  nl_cache_dump(cache, &parameters);
  return text;
}

/// Neighbours come in no fixed order, and the kernel makes some for multicast addresses whenever it sends there.
inline std::string permanent_sorted(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);)
    if (line.find("<permanent>") != std::string::npos) lines.push_back(line + "\n");
  std::sort(lines.begin(), lines.end());
  std::string sorted;
  for (const std::string& line : lines) sorted += line;
  return sorted;
}

inline std::string dump_namespace(const std::string& interface) {
  NlSocket netlink = EXPECT_OK(NlSocket::connect());
  std::string text;
  nl_cache* cache = nullptr;
  EXPECT(rtnl_link_alloc_cache(netlink.get(), AF_UNSPEC, &cache) == 0);
  const NlCache links(cache);
  nl_cache_mngt_provide(cache);  // so that the others are written with interface names
  text += dump_cache(cache, NL_DUMP_LINE);
  for (nl_object* object = nl_cache_get_first(cache); object != nullptr; object = nl_cache_get_next(object)) {
    rtnl_link* link = reinterpret_cast<rtnl_link*>(object);
    text +=
        "mtu " + std::to_string(rtnl_link_get_mtu(link)) + " txqlen " + std::to_string(rtnl_link_get_txqlen(link)) + "\n";
  }
  EXPECT(rtnl_route_alloc_cache(netlink.get(), AF_UNSPEC, 0, &cache) == 0);
  const NlCache routes(cache);
  text += dump_cache(cache, NL_DUMP_DETAILS);
  EXPECT(rtnl_neigh_alloc_cache(netlink.get(), &cache) == 0);
  const NlCache neighbours(cache);
  text += permanent_sorted(dump_cache(cache, NL_DUMP_LINE));
  EXPECT(rtnl_addr_alloc_cache(netlink.get(), &cache) == 0);
  const NlCache addresses(cache);
  text += dump_cache(cache, NL_DUMP_LINE);
  nl_cache_mngt_unprovide(links.get());
  for (const char* setting : {"accept_ra", "autoconf", "disable_ipv6", "addr_gen_mode"})
    text += std::string(setting) + "=" + read_file("/proc/sys/net/ipv6/conf/" + interface + "/" + setting);
  return text;
}

}  // namespace nh::test
