// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/dns/resolver_list.h"

#include <sys/stat.h>

#include <algorithm>

#include "src/base/limits.h"
#include "src/base/log.h"

namespace nh {

ResolverList::ResolverList(const Clock& clock, const std::vector<Address>& fixed, std::string resolv_conf)
    : clock_(clock), path_(fixed.empty() ? std::move(resolv_conf) : std::string()) {
  for (const Address& address : fixed) {
    if (known_.size() == limits::dns_resolvers) {
      log::warning("only the first " + std::to_string(limits::dns_resolvers) + " resolvers are used");
      break;
    }
    if (find({address}) == nullptr) known_.push_back({.server = {address}});
  }
}

std::vector<NameServer> ResolverList::order() {
  const Instant now = clock_.now();
  if (!path_.empty() && now >= next_look_) look(now);
  std::vector<NameServer> order;
  for (const bool dead : {false, true})
    for (std::size_t i = 0; i < known_.size(); ++i) {
      const Known& known = known_[(first_ + i) % known_.size()];
      if ((known.dead_until > now) == dead) order.push_back(known.server);
    }
  return order;
}

std::vector<NameServer> ResolverList::next_order() {
  std::vector<NameServer> order = this->order();
  if (options_.rotate) ++first_;
  return order;
}

void ResolverList::failed(const NameServer& server) {
  if (Known* const known = find(server)) known->dead_until = clock_.now() + limits::dns_dead;
}

void ResolverList::answered(const NameServer& server) {
  if (Known* const known = find(server)) known->dead_until = Instant::min();
}

void ResolverList::look(Instant now) {
  next_look_ = now + limits::dns_resolv_check;
  const Mark mark = mark_of(path_);
  if (mark == mark_ && !known_.empty()) return;
  mark_ = mark;
  replace(read_resolv_conf(path_));
}

ResolverList::Mark ResolverList::mark_of(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return {};
  return {true,
          status.st_dev,
          status.st_ino,
          status.st_size,
          status.st_mtim.tv_sec,
          status.st_mtim.tv_nsec,
          status.st_ctim.tv_sec,
          status.st_ctim.tv_nsec};
}

void ResolverList::replace(const ResolvConf& conf) {
  std::vector<Known> replaced;
  for (const NameServer& server : conf.servers) {
    const Known* const before = find(server);
    replaced.push_back(before != nullptr ? *before : Known{.server = server});
  }
  known_ = std::move(replaced);
  options_ = conf.options;
  first_ = 0;
}

ResolverList::Known* ResolverList::find(const NameServer& server) {
  const auto found =
      std::find_if(known_.begin(), known_.end(), [&server](const Known& known) { return known.server == server; });
  return found == known_.end() ? nullptr : &*found;
}

}  // namespace nh
