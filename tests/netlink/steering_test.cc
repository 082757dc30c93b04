// SPDX-License-Identifier: BSD-3-Clause
#include "src/netlink/steering.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>
#include <net/if.h>

#include <algorithm>
#include <set>

#include "src/netlink/link.h"
#include "src/netlink/nftables.h"
#include "tests/netlink/namespace_dump.h"
#include "tests/support/catch.h"

namespace nh {
namespace {

using test::in_child;

const std::vector<Address> tap_addresses{Address::v4(0x0a000264), Address::v4(0x0a000265)};

/// The rules of both families, one a line.
std::string rules() {
  auto netlink = EXPECT_OK(NlSocket::connect());
  nl_cache* found = nullptr;
  EXPECT(rtnl_rule_alloc_cache(netlink.get(), AF_UNSPEC, &found) == 0);
  const NlCache cache(found);
  return test::dump_cache(found, NL_DUMP_LINE);
}

/// Everything that steering touches, as text.
std::string everything() {
  auto nft = EXPECT_OK(NlSocket::connect(NETLINK_NETFILTER));
  std::string text = rules() + test::dump_namespace("lo");
  for (const Family family : {Family::v4, Family::v6})
    for (const std::string& name : EXPECT_OK(nft::table_names(nft, family))) text += name + "\n";
  return text;
}

void bring_lo_up() {
  auto netlink = EXPECT_OK(NlSocket::connect());
  const RtLink lo = EXPECT_OK(find_link(netlink, "lo"));
  UndoLog undo;
  EXPECT_OK(set_link_up(netlink, lo.get(), undo));
}

/// A namespace of its own with lo up, and the sockets of a helper.
struct SteeringLab {
  SteeringLab() {
    test::enter_new_namespaces();
    bring_lo_up();
    route.emplace(EXPECT_OK(NlSocket::connect()));
    nft.emplace(EXPECT_OK(NlSocket::connect(NETLINK_NETFILTER)));
  }
  Steering set_up() { return EXPECT_OK(Steering::set_up(*route, *nft, tap, tap_addresses)); }
  static constexpr int tap = 7;
  std::optional<NlSocket> route, nft;
};

/// Adds the rule "fwmark mark/mask lookup table" as a program of the guest would.
void add_foreign_rule(NlSocket& netlink, std::uint32_t mark, std::uint32_t mask, std::uint32_t table,
                      std::uint32_t priority = 1000) {
  const RtRule rule(rtnl_rule_alloc());
  rtnl_rule_set_family(rule.get(), AF_INET);
  rtnl_rule_set_prio(rule.get(), priority);
  rtnl_rule_set_mark(rule.get(), mark);
  rtnl_rule_set_mask(rule.get(), mask);
  rtnl_rule_set_table(rule.get(), table);
  rtnl_rule_set_action(rule.get(), 1);  // FR_ACT_TO_TBL
  EXPECT(rtnl_rule_add(netlink.get(), rule.get(), NLM_F_CREATE | NLM_F_EXCL) == 0);
}

/// Of the helpers' IPv4 rules; there may be two while one is moved.
std::vector<std::uint32_t> priorities() {
  auto netlink = EXPECT_OK(NlSocket::connect());
  nl_cache* found = nullptr;
  EXPECT(rtnl_rule_alloc_cache(netlink.get(), AF_INET, &found) == 0);
  const NlCache cache(found);
  std::vector<std::uint32_t> of_ours;
  for (nl_object* object = nl_cache_get_first(found); object != nullptr; object = nl_cache_get_next(object)) {
    auto* rule = reinterpret_cast<rtnl_rule*>(object);
    std::uint8_t protocol = 0;
    if (rtnl_rule_get_family(rule) == AF_INET && rtnl_rule_get_protocol(rule, &protocol) == 0 &&
        protocol == Steering::protocol)
      of_ours.push_back(rtnl_rule_get_prio(rule));
  }
  return of_ours;
}

TEST_CASE("bits are the highest three that no rule of the guest uses") {
  CHECK(choose_bits({}) == SteeringBits{.to_stand_in = 1u << 30, .connection = 1u << 29, .stand_in = 1u << 28});
  const std::vector<MarkUse> masked{{.mark = 1u << 29, .mask = 1u << 29}};
  CHECK(choose_bits(masked) == SteeringBits{.to_stand_in = 1u << 28, .connection = 1u << 27, .stand_in = 1u << 26});
  // A rule that names a whole mark uses that mark's bits.
  const std::vector<MarkUse> whole{{.mark = 0xca6c, .mask = UINT32_MAX}};
  CHECK(choose_bits(whole) == choose_bits({}));
  // A helper's rule tells its highest bit; it uses two more.
  const std::vector<MarkUse> helper{{.mark = 1u << 30, .mask = 1u << 30, .ours = true}};
  CHECK(choose_bits(helper) == SteeringBits{.to_stand_in = 1u << 27, .connection = 1u << 26, .stand_in = 1u << 25});
  const std::vector<MarkUse> every_third{{.mark = 0, .mask = 0x24924924}};
  CHECK(!choose_bits(every_third));
  const std::vector<MarkUse> all_but_the_lowest{{.mark = 0, .mask = 0x7ffffff8}};
  CHECK(choose_bits(all_but_the_lowest) == SteeringBits{.to_stand_in = 4, .connection = 2, .stand_in = 1});
}

TEST_CASE("a rule is encoded as it was recorded") {
  nft::Batch batch(Family::v4, "t");
  batch.add_rule("c", "meta mark set", [](nft::Expressions& e) {
    e.load_mark();
    e.bits(~0x40000000u, 0x40000000u);
    e.store_mark();
  });
  // Recorded when nft listed it back as "meta mark set meta mark | 0x40000000", from the rule's table on. Headers of
  // attributes are in the order of the host (little-endian), the numbers of nf_tables in that of the network.
  const std::vector<std::uint8_t> expected{6, 0, 1, 0, 't', 0, 0, 0,  // NFTA_RULE_TABLE
                                           6, 0, 2, 0, 'c', 0, 0, 0,  // NFTA_RULE_CHAIN
                                           0x90, 0, 4, 0x80,          // NFTA_RULE_EXPRESSIONS
                                           // meta load mark => reg 1
                                           0x24, 0, 1, 0x80, 9, 0, 1, 0, 'm', 'e', 't', 'a', 0, 0, 0, 0,  //
                                           0x14, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 1, 8, 0, 2, 0, 0, 0, 0, 3,
                                           // bitwise reg 1 = (reg 1 & 0xbfffffff) ^ 0x40000000
                                           0x44, 0, 1, 0x80, 12, 0, 1, 0, 'b', 'i', 't', 'w', 'i', 's', 'e', 0,  //
                                           0x34, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 1, 8, 0, 2, 0, 0, 0, 0, 1, 8, 0, 3, 0, 0,
                                           0, 0, 4,                                               //
                                           0x0c, 0, 4, 0x80, 8, 0, 1, 0, 0xff, 0xff, 0xff, 0xbf,  //
                                           0x0c, 0, 5, 0x80, 8, 0, 1, 0, 0, 0, 0, 0x40,
                                           // meta set mark with reg 1
                                           0x24, 0, 1, 0x80, 9, 0, 1, 0, 'm', 'e', 't', 'a', 0, 0, 0, 0,  //
                                           0x14, 0, 2, 0x80, 8, 0, 2, 0, 0, 0, 0, 3, 8, 0, 3, 0, 0, 0, 0, 1};
  const std::vector<std::uint8_t> bytes = batch.bytes();
  REQUIRE(bytes.size() == 20 + expected.size());
  CHECK(bytes[4] == NFT_MSG_NEWRULE);
  CHECK(bytes[5] == 10);  // NFNL_SUBSYS_NFTABLES
  CHECK(std::equal(expected.begin(), expected.end(), bytes.begin() + 20));
}

TEST_CASE("steering set up and taken back leaves nothing") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(in_child([] {
          SteeringLab lab;
          const std::string before = everything();
          {
            const Steering steering = lab.set_up();
            EXPECT(steering.has(Family::v4) && steering.has(Family::v6));
            const std::string during = everything();
            EXPECT(during != before);
            EXPECT(during.find("netns-helper-20040") != std::string::npos);
          }
          EXPECT(everything() == before);
        }) == "");
}

TEST_CASE("marks and tables that the guest uses, and those of another helper, are left alone") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(in_child([] {
          SteeringLab lab;
          add_foreign_rule(*lab.route, 1u << 30, 1u << 30, Steering::first_table);
          const Steering first = lab.set_up();
          EXPECT((first.bits().to_stand_in | first.bits().connection | first.bits().stand_in) == 7u << 27);
          EXPECT(first.table() == Steering::first_table + 1);
          auto nft = EXPECT_OK(NlSocket::connect(NETLINK_NETFILTER));
          const Steering second = EXPECT_OK(Steering::set_up(*lab.route, nft, 8, {}));
          EXPECT((second.bits().to_stand_in | second.bits().connection | second.bits().stand_in) == 7u << 24);
          EXPECT(second.table() == Steering::first_table + 2);
        }) == "");
}

TEST_CASE("helpers that start in the same moment all steer, each with a table of its own") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(in_child([] {
          constexpr std::size_t helpers = 6;
          SteeringLab lab;
          const std::string before = everything();
          test::Pipe go, done, end;
          std::vector<pid_t> pids;
          for (std::size_t i = 0; i < helpers; ++i) {
            pids.push_back(fork());
            if (pids.back() != 0) continue;
            auto route = EXPECT_OK(NlSocket::connect());
            auto nft = EXPECT_OK(NlSocket::connect(NETLINK_NETFILTER));
            go.write_end.reset();
            end.write_end.reset();
            char byte = 0;
            if (read(go.read_end.get(), &byte, 1) != 0) _exit(1);  // the end of the pipe: all at once
            auto steering = Steering::set_up(route, nft, SteeringLab::tap, tap_addresses);
            const bool whole = steering && steering->has(Family::v4) && steering->has(Family::v6);
            byte = whole ? static_cast<char>(steering->table() - Steering::first_table) : char{-1};
            if (write(done.write_end.get(), &byte, 1) != 1) _exit(1);
            if (read(end.read_end.get(), &byte, 1) != 0) _exit(1);
            // Nobody has taken anything of another's away.
            const auto missing = whole ? steering->repair() : Result<std::vector<std::string>>(std::vector<std::string>{});
            _exit(missing && missing->empty() ? 0 : 2);
          }
          go.write_end.reset();
          std::set<int> numbers;
          for (std::size_t i = 0; i < helpers; ++i) {
            char number = 0;
            EXPECT(read(done.read_end.get(), &number, 1) == 1);
            EXPECT(number >= 0 && number < static_cast<char>(helpers));
            numbers.insert(number);
          }
          EXPECT(numbers.size() == helpers);
          end.write_end.reset();
          for (const pid_t pid : pids) {
            int status = 0;
            EXPECT(waitpid(pid, &status, 0) == pid);
            EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
          }
          // They left without a word: their successor cleans up.
          { const Steering successor = lab.set_up(); }
          EXPECT(everything() == before);
        }) == "");
}

TEST_CASE("what a killed helper left is replaced") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(in_child([] {
          SteeringLab lab;
          const std::string before = everything();
          test::Pipe ready;
          const pid_t killed = fork();
          if (killed == 0) {
            auto route = EXPECT_OK(NlSocket::connect());
            auto nft = EXPECT_OK(NlSocket::connect(NETLINK_NETFILTER));
            const Steering steering = EXPECT_OK(Steering::set_up(route, nft, SteeringLab::tap, tap_addresses));
            if (write(ready.write_end.get(), "+", 1) < 0) _exit(1);
            pause();
          }
          char byte = 0;
          EXPECT(read(ready.read_end.get(), &byte, 1) == 1);
          EXPECT(kill(killed, SIGKILL) == 0);
          EXPECT(waitpid(killed, nullptr, 0) == killed);
          const std::string left = everything();
          EXPECT(left != before);
          EXPECT(left.find("netns-helper-") == std::string::npos);  // the table went with its socket
          {
            const Steering steering = lab.set_up();
            EXPECT(steering.table() == Steering::first_table);
          }
          EXPECT(everything() == before);
        }) == "");
}

TEST_CASE("nobody else flushes or deletes our table, and rules and routes that are missing come back") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(in_child([] {
          SteeringLab lab;
          Steering steering = lab.set_up();
          const std::string whole = everything();
          auto other = EXPECT_OK(NlSocket::connect(NETLINK_NETFILTER));
          nft::Batch removal(Family::v4, "netns-helper-20040");
          removal.delete_table();
          const auto refused = removal.commit(other);
          EXPECT(!refused && refused.error().what.find("removal of our table") != std::string::npos);
          EXPECT(EXPECT_OK(steering.repair()).empty());

          auto netlink = EXPECT_OK(NlSocket::connect());
          nl_cache* found = nullptr;
          EXPECT(rtnl_rule_alloc_cache(netlink.get(), AF_INET, &found) == 0);
          const NlCache cache(found);
          for (nl_object* object = nl_cache_get_first(found); object != nullptr; object = nl_cache_get_next(object)) {
            auto* rule = reinterpret_cast<rtnl_rule*>(object);
            if (rtnl_rule_get_family(rule) == AF_INET && rtnl_rule_get_prio(rule) == Steering::priority)
              EXPECT(rtnl_rule_delete(netlink.get(), rule, 0) == 0);
          }
          EXPECT(everything() != whole);
          EXPECT(EXPECT_OK(steering.repair()) == std::vector<std::string>{"IPv4 rule"});
          EXPECT(everything() == whole);
          EXPECT_OK(steering.follow_addresses({}));
          EXPECT_OK(steering.follow_addresses(tap_addresses));
        }) == "");
}

TEST_CASE("ours stay the first rules, whatever the guest puts before them") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(in_child([] {
          SteeringLab lab;
          const std::string before = rules();
          add_foreign_rule(*lab.route, 1, 1, 100, 60);
          {
            Steering steering = lab.set_up();
            EXPECT(priorities() == std::vector<std::uint32_t>{59});
            // As without a priority: just before the first one.
            add_foreign_rule(*lab.route, 2, 2, 100, 58);
            add_foreign_rule(*lab.route, 4, 4, 100, 2000);
            EXPECT(EXPECT_OK(steering.repair()).empty());
            EXPECT(priorities() == std::vector<std::uint32_t>{57});
            // Another helper's is no reason to move.
            auto route = EXPECT_OK(NlSocket::connect());
            auto nft = EXPECT_OK(NlSocket::connect(NETLINK_NETFILTER));
            Steering other = EXPECT_OK(Steering::set_up(route, nft, SteeringLab::tap + 1, tap_addresses));
            EXPECT(EXPECT_OK(steering.repair()).empty());
            EXPECT(EXPECT_OK(other.repair()).empty());
            EXPECT(priorities() == std::vector<std::uint32_t>(2, 57));
          }
          EXPECT(priorities().empty());
          EXPECT(rules() != before);
        }) == "");
}

TEST_CASE("without the right to it steering is refused, with the step") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(in_child([] {
          SteeringLab lab;
          test::enter_new_namespaces(CLONE_NEWUSER);  // no power over the namespace any more
          const auto refused = Steering::set_up(*lab.route, *lab.nft, SteeringLab::tap, tap_addresses);
          EXPECT(!refused);
          EXPECT(refused.error().sys_errno == EPERM);
        }) == "");
}

}  // namespace
}  // namespace nh
