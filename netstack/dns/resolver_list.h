// SPDX-License-Identifier: BSD-3-Clause
// ResolverList: the resolvers and the order in which to ask them.
//
// They are those of --dns or of resolv.conf. On a query, at most every limits::dns_resolv_check, stat(2) of the path tells
// whether resolv.conf has changed; it follows symbolic links, so a rewritten file, a renamed one and a changed link are all
// noticed. A resolver that did not answer is asked last for limits::dns_dead. resolv.conf's options are followed likewise.
#pragma once

#include <string>
#include <vector>

#include "netstack/dns/resolv_conf.h"
#include "src/base/clock.h"

namespace nh {

class ResolverList {
 public:
  /// `fixed`: the resolvers, at most limits::dns_resolvers; if empty, those of resolv_conf. `clock` must outlive the list.
  ResolverList(const Clock& clock, const std::vector<Address>& fixed, std::string resolv_conf);

  /// The order in which a query would ask now; never empty.
  std::vector<NameServer> order();
  /// The same for a query that is asked now: with the option rotate the next one begins with another resolver.
  std::vector<NameServer> next_order();
  /// Those of the file that the last order was read from; none with --dns.
  const ResolverOptions& options() const { return options_; }
  void failed(const NameServer& server);
  void answered(const NameServer& server);

 private:
  struct Known {
    NameServer server;
    Instant dead_until = Instant::min();
  };
  // Identifies a version of the file.
  struct Mark {
    bool there = false;
    std::uint64_t device = 0, inode = 0;
    std::int64_t size = 0, modified_s = 0, modified_ns = 0, changed_s = 0, changed_ns = 0;
    friend bool operator==(const Mark&, const Mark&) = default;
  };
  void look(Instant now);
  static Mark mark_of(const std::string& path);
  void replace(const ResolvConf& conf);
  Known* find(const NameServer& server);

  const Clock& clock_;
  std::string path_;  // empty: the list is fixed
  std::vector<Known> known_;
  ResolverOptions options_;
  std::size_t first_ = 0;  // of known_, where the order begins
  Mark mark_;
  Instant next_look_ = Instant::min();
};

}  // namespace nh
