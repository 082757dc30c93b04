// SPDX-License-Identifier: BSD-3-Clause
// Longer than most: rules, routes and the nf_tables rules are one thing, made and taken back together.
#include "src/netlink/steering.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netlink/route/nexthop.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "src/base/limits.h"
#include "src/netlink/nftables.h"

namespace nh {

namespace {

constexpr int lo_index = 1;  // LOOPBACK_IFINDEX of the kernel (include/net/flow.h), in every namespace

int af_of(Family family) {
  return family == Family::v4 ? AF_INET : AF_INET6;
}

std::string name_of(Family family) {
  return family == Family::v4 ? "IPv4" : "IPv6";
}

std::string nft_name(std::uint32_t table) {
  return "netns-helper-" + std::to_string(table);
}

// ---- rules and routes ----

Result<RtRule> rule_object(Family family, std::uint32_t table, std::uint32_t mark, std::uint32_t priority) {
  RtRule rule(rtnl_rule_alloc());
  if (!rule) return sys_error(ENOMEM, "describing a rule");
  rtnl_rule_set_family(rule.get(), af_of(family));
  rtnl_rule_set_prio(rule.get(), priority);
  rtnl_rule_set_mark(rule.get(), mark);
  rtnl_rule_set_mask(rule.get(), mark);
  rtnl_rule_set_table(rule.get(), table);
  rtnl_rule_set_action(rule.get(), FR_ACT_TO_TBL);
  rtnl_rule_set_protocol(rule.get(), Steering::protocol);
  return rule;
}

Result<RtRoute> route_object(Family family, std::uint32_t table) {
  const NlAddr everything = nl_address(Address::any(family), 0);
  RtRoute route(rtnl_route_alloc());
  rtnl_nexthop* hop = rtnl_route_nh_alloc();
  if (!everything || !route || hop == nullptr) {
    if (hop != nullptr) rtnl_route_nh_free(hop);
    return sys_error(ENOMEM, "describing a route");
  }
  rtnl_route_nh_set_ifindex(hop, lo_index);
  rtnl_route_add_nexthop(route.get(), hop);  // which takes the hop over
  rtnl_route_set_family(route.get(), static_cast<std::uint8_t>(af_of(family)));
  rtnl_route_set_dst(route.get(), everything.get());
  rtnl_route_set_table(route.get(), table);
  rtnl_route_set_scope(route.get(), family == Family::v4 ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE);
  rtnl_route_set_protocol(route.get(), Steering::protocol);
  rtnl_route_set_type(route.get(), RTN_LOCAL);
  return route;
}

/// True: it was not there.
Result<bool> add_rule(NlSocket& netlink, Family family, std::uint32_t table, std::uint32_t mark, std::uint32_t priority) {
  NH_LET(rule, rule_object(family, table, mark, priority));
  const int result = rtnl_rule_add(netlink.get(), rule.get(), NLM_F_CREATE | NLM_F_EXCL);
  if (result == -NLE_EXIST) {
    netlink.take_errno();
    return false;
  }
  NH_TRY(netlink.check(result, "adding an " + name_of(family) + " rule"));
  return true;
}

Result<bool> add_route(NlSocket& netlink, Family family, std::uint32_t table) {
  NH_LET(route, route_object(family, table));
  const int result = rtnl_route_add(netlink.get(), route.get(), NLM_F_CREATE | NLM_F_EXCL);
  if (result == -NLE_EXIST) {
    netlink.take_errno();
    return false;
  }
  NH_TRY(netlink.check(result, "adding an " + name_of(family) + " route to lo"));
  return true;
}

/// Nothing is said of what is not there.
void remove_route(NlSocket& netlink, Family family, std::uint32_t table) {
  if (const auto route = route_object(family, table)) rtnl_route_delete(netlink.get(), route->get(), 0);
  netlink.take_errno();
}

void remove_rule(NlSocket& netlink, rtnl_rule* rule) {
  rtnl_rule_delete(netlink.get(), rule, 0);
  netlink.take_errno();
}

// ---- what is there ----

struct Present {
  std::vector<MarkUse> marks;
  std::set<std::uint32_t> tables;  ///< in use by others
  std::set<std::string> names;     ///< of nf_tables tables
};

bool is_ours(rtnl_rule* rule) {
  std::uint8_t protocol = 0;
  return rtnl_rule_get_protocol(rule, &protocol) == 0 && protocol == Steering::protocol;
}

/// Where a rule of ours comes before all others but the local table's, by family: no later than Steering::priority.
Result<std::array<std::uint32_t, 2>> first_places(NlSocket& netlink) {
  nl_cache* found = nullptr;
  NH_TRY(netlink.check(rtnl_rule_alloc_cache(netlink.get(), AF_UNSPEC, &found), "listing rules"));
  const NlCache rules(found);
  std::array<std::uint32_t, 2> places{Steering::priority, Steering::priority};
  for (nl_object* object = nl_cache_get_first(found); object != nullptr; object = nl_cache_get_next(object)) {
    auto* rule = reinterpret_cast<rtnl_rule*>(object);
    const std::uint32_t at = rtnl_rule_get_prio(rule);
    if (is_ours(rule) || at == 0) continue;
    std::uint32_t& place = places[rtnl_rule_get_family(rule) == AF_INET6 ? 1 : 0];
    place = std::min(place, at - 1);
  }
  return places;
}

/// The names of both families' nf_tables tables.
Result<std::set<std::string>> living_tables(NlSocket& nftables) {
  std::set<std::string> living;
  for (const Family family : families) {
    NH_LET(names, nft::table_names(nftables, family));
    living.insert(names.begin(), names.end());
  }
  return living;
}

/// Looks at the rules of both families, and removes what killed helpers left. A helper that is starting now makes its table
/// before its rule: of a rule that is listed here the table is there, unless its owner is gone.
Result<Present> look_and_clean(NlSocket& netlink, NlSocket& nftables) {
  nl_cache* found = nullptr;
  NH_TRY(netlink.check(rtnl_rule_alloc_cache(netlink.get(), AF_UNSPEC, &found), "listing rules"));
  const NlCache rules(found);
  Present present;
  NH_LET(living, living_tables(nftables));
  present.names = std::move(living);
  for (nl_object* object = nl_cache_get_first(found); object != nullptr; object = nl_cache_get_next(object)) {
    auto* rule = reinterpret_cast<rtnl_rule*>(object);
    const std::uint32_t table = rtnl_rule_get_table(rule);
    const bool ours = is_ours(rule);
    if (ours && !present.names.contains(nft_name(table))) {
      remove_rule(netlink, rule);
      remove_route(netlink, rtnl_rule_get_family(rule) == AF_INET6 ? Family::v6 : Family::v4, table);
      continue;
    }
    present.tables.insert(table);
    const std::uint32_t mark = rtnl_rule_get_mark(rule), mask = rtnl_rule_get_mask(rule);
    if (mark != 0 || mask != 0) present.marks.push_back({.mark = mark, .mask = mask, .ours = ours});
  }
  return present;
}

// ---- nf_tables ----

/// Goes on for TCP with SYN and without ACK (RFC 9293 3.1).
void ask_for_syn(nft::Expressions& e) {
  constexpr std::uint32_t syn = 0x02, syn_ack = 0x12;
  e.load_transport();
  e.equal(IPPROTO_TCP);
  e.load_tcp_flags();
  e.bits(syn_ack, 0);
  e.equal(syn);
}

void forget_connection(nft::Expressions& e, const SteeringBits& bits) {
  e.load_connection_mark();
  e.bits(~bits.connection, 0);
  e.store_connection_mark();
  e.accept();
}

void fill_out(nft::Batch& batch, const SteeringBits& bits) {
  batch.add_chain("out", nft::Batch::Hook::output);
  batch.add_rule("out", "meta mark and ct mark set", [&](nft::Expressions& e) {
    e.load_mark();
    e.bits(bits.stand_in, 0);
    e.equal(bits.stand_in);
    e.load_connection_mark();
    e.bits(~bits.connection, bits.connection);
    e.store_connection_mark();
    e.accept();
  });
  // What is not tracked (neighbour discovery) has no connection mark: a rule that asks for one does not match it.
  const auto ask_connection = [&](nft::Expressions& e) {
    e.load_connection_mark();
    e.bits(bits.connection, 0);
    e.equal(bits.connection);
  };
  batch.add_rule("out", "ct mark and tcp flags", [&](nft::Expressions& e) {
    ask_connection(e);
    ask_for_syn(e);
    forget_connection(e, bits);
  });
  batch.add_rule("out", "ct mark and meta mark set", [&](nft::Expressions& e) {
    ask_connection(e);
    e.load_mark();
    e.bits(~bits.to_stand_in, bits.to_stand_in);
    e.store_mark();
  });
}

constexpr const char* address_set = "tap";

void fill_pre(nft::Batch& batch, Family family, const SteeringBits& bits, int tap) {
  batch.add_chain("pre", nft::Batch::Hook::prerouting);
  batch.add_rule("pre", "socket transparent", [&](nft::Expressions& e) {
    e.load_input_interface();
    e.equal(static_cast<std::uint32_t>(tap));
    e.load_source(family);
    e.in_set(address_set);
    e.load_socket_transparent();
    e.equal(1);
    e.load_mark();
    e.bits(~bits.to_stand_in, bits.to_stand_in);
    e.store_mark();
  });
  const auto ask_behind = [&](nft::Expressions& e) {
    e.load_input_interface();
    e.not_equal(static_cast<std::uint32_t>(tap));
    e.not_equal(lo_index);
    e.load_connection_mark();
    e.bits(bits.connection, 0);
    e.equal(bits.connection);
  };
  batch.add_rule("pre", "meta iif, ct mark and tcp flags", [&](nft::Expressions& e) {
    ask_behind(e);
    ask_for_syn(e);
    forget_connection(e, bits);
  });
  batch.add_rule("pre", "meta iif and ct mark", [&](nft::Expressions& e) {
    ask_behind(e);
    e.load_mark();
    e.bits(~bits.to_stand_in, bits.to_stand_in);
    e.store_mark();
  });
}

// Masquerading binds a connection to the interface that its first packet has left by, and drops what leaves by another
// (nf_nat_core.c nf_nat_oif_changed), as what we steer does. The first translation of a connection is the only one.
void fill_own(nft::Batch& batch, Family family, int tap) {
  batch.add_chain("own", nft::Batch::Hook::postrouting);
  batch.add_rule("own", "meta oif and snat", [&](nft::Expressions& e) {
    e.load_output_interface();
    e.equal(static_cast<std::uint32_t>(tap));
    e.load_transport();
    e.equal(IPPROTO_TCP);
    e.load_source(family);
    e.in_set(address_set);
    e.translate_source(family);
  });
}

}  // namespace

std::optional<SteeringBits> choose_bits(std::span<const MarkUse> uses) {
  std::uint32_t used = 0;
  for (const MarkUse& use : uses) {
    if (use.ours)
      used |= use.mark | use.mark >> 1 | use.mark >> 2;
    else
      used |= use.mask == UINT32_MAX ? use.mark : use.mask;
  }
  for (std::uint32_t high = 1u << 30; high >= 1u << 2; high >>= 1)
    if ((used & (high | high >> 1 | high >> 2)) == 0)
      return SteeringBits{.to_stand_in = high, .connection = high >> 1, .stand_in = high >> 2};
  return std::nullopt;
}

Result<> Steering::claim(Family family, int tap, std::span<const Address> addresses) {
  nft::Batch batch(family, nft_name(table_));
  batch.add_table();
  batch.add_address_set(address_set);
  batch.set_addresses(address_set, addresses);
  fill_out(batch, bits_);
  fill_pre(batch, family, bits_, tap);
  NH_TRY(batch.commit(*nft_));
  nft::Batch keeping(family, nft_name(table_));
  fill_own(keeping, family, tap);
  (void)keeping.commit(*nft_);  // a kernel that translates no addresses has no need of it
  return Ok{};
}

Result<> Steering::set_up_family(Family family) {
  NH_TRY(add_route(*route_, family, table_));
  NH_LET(places, first_places(*route_));
  const std::size_t i = index(family);
  priorities_[i] = places[i];
  NH_TRY(add_rule(*route_, family, table_, bits_.to_stand_in, priorities_[i]));
  return Ok{};
}

void Steering::undo(Family family) {
  if (const auto rule = rule_object(family, table_, bits_.to_stand_in, priorities_[index(family)]))
    remove_rule(*route_, rule->get());
  remove_route(*route_, family, table_);
  nft::Batch batch(family, nft_name(table_));
  batch.delete_table();
  (void)batch.commit(*nft_);  // where there is none, or the namespace goes, nothing is left either
}

Result<Steering> Steering::set_up(NlSocket& route, NlSocket& nftables, int tap, std::span<const Address> addresses) {
  Error taken{.code = Code::exhausted, .what = "no number for a routing table is left"};
  // Of helpers that start in the same moment one gets the number; the others look again, and see it.
  for (std::uint32_t tries = 0; tries < limits::steering_tables; ++tries) {
    auto made = set_up_once(route, nftables, tap, addresses);
    if (made || made.error().code != Code::in_use) return made;
    taken = std::move(made).error();
  }
  return taken;
}

Result<Steering> Steering::set_up_once(NlSocket& route, NlSocket& nftables, int tap, std::span<const Address> addresses) {
  NH_LET(present, look_and_clean(route, nftables));
  const auto bits = choose_bits(present.marks);
  if (!bits)
    return Error{.code = Code::exhausted, .what = "no three neighbouring bits of the mark are left by the guest's rules"};

  Steering steering(route, nftables, *bits);
  // Nothing is there to be taken back yet.
  steering.refused_.fill(Error{.code = Code::exhausted, .what = "no number for a routing table is left"});
  for (std::uint32_t i = 0; i < limits::steering_tables && steering.table_ == 0; ++i) {
    const std::uint32_t number = first_table + i;
    if (!present.tables.contains(number) && !present.names.contains(nft_name(number))) steering.table_ = number;
  }
  if (steering.table_ == 0) return *steering.refusal(Family::v4);
  for (std::size_t i = 0; i < families.size(); ++i) {
    // All or nothing: what fails here has left nothing.
    auto claimed = steering.claim(families[i], tap, addresses);
    if (!claimed) {
      // The kernel says EPERM of another's table (nf_tables_api.c nft_table_lookup), as it does to whoever has no right at all.
      const auto living = living_tables(nftables);
      if (living && living->contains(nft_name(steering.table_)) && !steering.has(Family::v4))
        return Error{.code = Code::in_use, .what = "another helper has just taken the number of a routing table"};
    } else {
      claimed = steering.set_up_family(families[i]);
      if (!claimed) steering.undo(families[i]);
    }
    steering.refused_[i] = claimed ? std::nullopt : std::optional<Error>(std::move(claimed).error());
  }
  if (!steering.has(Family::v4) && !steering.has(Family::v6)) return *steering.refusal(Family::v4);
  return steering;
}

Steering::Steering(Steering&& other) noexcept
    : route_(std::exchange(other.route_, nullptr)),
      nft_(other.nft_),
      bits_(other.bits_),
      table_(other.table_),
      priorities_(other.priorities_),
      refused_(std::move(other.refused_)) {}

Steering::~Steering() {
  if (route_ == nullptr) return;
  for (const Family family : families)
    if (has(family)) undo(family);
}

Result<> Steering::follow_addresses(std::span<const Address> addresses) {
  for (const Family family : families) {
    if (!has(family)) continue;
    nft::Batch batch(family, nft_name(table_));
    batch.set_addresses(address_set, addresses);
    NH_TRY(batch.commit(*nft_));
  }
  return Ok{};
}

Result<std::vector<std::string>> Steering::repair() {
  std::vector<std::string> missing;
  NH_LET(places, first_places(*route_));
  for (const Family family : families) {
    if (!has(family)) continue;
    const std::size_t i = index(family);
    // There is no cheaper question than the wish itself: what is there already is refused with EEXIST.
    NH_LET(route, add_route(*route_, family, table_));
    if (route) missing.push_back(name_of(family) + " route");
    const std::uint32_t before = priorities_[i];
    priorities_[i] = std::min(before, places[i]);
    NH_LET(rule, add_rule(*route_, family, table_, bits_.to_stand_in, priorities_[i]));
    if (priorities_[i] != before) {
      NH_LET(old, rule_object(family, table_, bits_.to_stand_in, before));
      remove_rule(*route_, old.get());
    } else if (rule) {
      missing.push_back(name_of(family) + " rule");
    }
  }
  return missing;
}

}  // namespace nh
