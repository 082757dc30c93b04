// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/id_map.h"

#include "tests/support/catch.h"

namespace nh::test {

namespace {

IdMapCaller caller() {
  return {.uid = 1001,
          .gid = 1002,
          .user = "ann",
          .subuid = "# comment\n\nbob:1:5\nann:100000:65536\n",
          .subgid = "ann:200000:1000\n1001:300000:7\n"};
}

IdMaps resolved(const IdMapPlan& plan) {
  auto maps = resolve_id_maps(plan, caller());
  if (!maps) FAIL(maps.error().message());
  return *maps;
}

}  // namespace

TEST_CASE("an id range is three numbers, each checked") {
  const auto range = parse_id_range("0:1000:1", "map-users");
  REQUIRE(range);
  CHECK(*range == IdRange{0, 1000, 1});
  CHECK(parse_id_range("0:0:4294967295", "map-users"));
  for (const char* text : {"", "0", "0:1000", "0:1000:1:2", "a:1000:1", "0:b:1", "0:1000:c", "0:1000:0", "-1:0:1",
                           "4294967295:0:1", "0:4294967295:1", "1:0:4294967295", "0:1:4294967295", "0 1000 1", "0::1"}) {
    CAPTURE(text);
    const auto bad = parse_id_range(text, "map-users");
    REQUIRE(!bad);
    CHECK(bad.error().code == Code::invalid);
    CHECK(bad.error().field == "map-users");
  }
}

TEST_CASE("ranges may not be none, empty, too many, or share an id on either side") {
  const auto refused = [](const std::vector<IdRange>& ranges, std::string_view reason) {
    const auto checked = check_id_ranges(ranges, "map-users");
    REQUIRE(!checked);
    CHECK(checked.error().what.find(reason) != std::string::npos);
  };
  CHECK(check_id_ranges(std::vector<IdRange>{{0, 1000, 1}, {1, 100000, 65536}}, "map-users"));
  CHECK(check_id_ranges(std::vector<IdRange>{{10, 0, 10}, {0, 10, 10}}, "map-users"));
  refused({}, "no range");
  refused({{0, 1000, 0}}, "empty");
  refused({{0, 1000, 2}, {1, 5000, 1}}, "0:1000:2 and 1:5000:1 share an id");
  refused({{0, 1000, 2}, {2, 1001, 1}}, "share an id");
  refused({{4294967290, 0, 6}}, "beyond the last id");
  std::vector<IdRange> many;
  for (std::uint32_t at = 0; at < 340; ++at) many.push_back({at, 1000 + at, 1});
  CHECK(check_id_ranges(many, "map-users"));
  many.push_back({340, 2000, 1});
  refused(many, "the kernel takes 340");
}

TEST_CASE("a map's text is a line a range") {
  CHECK(id_map_text(std::vector<IdRange>{{0, 1000, 1}, {1, 100000, 65536}}) == "0 1000 1\n1 100000 65536\n");
}

TEST_CASE("subordinate ranges are found by name and by number; what breaks the form is left out") {
  const std::string file =
      " \n# "
      "ann:1:1\nann:100:10\nbob:500:5\nann:x:5\nann:5\nann:7:0\nann:4294967295:1\n1001:200:10\n1001:200:10\nann:110:5\n  "
      "ann:300:1  \n";
  CHECK(subordinate_ranges(file, "ann", 1001) == std::vector<IdRange>{{0, 100, 10}, {0, 200, 10}, {0, 110, 5}, {0, 300, 1}});
  CHECK(subordinate_ranges("ann:100:10\nann:110:5\n", "ann", 1) == std::vector<IdRange>{{0, 100, 15}});
  CHECK(subordinate_ranges(file, "an", 10).empty());
  CHECK(subordinate_ranges("", "ann", 1001).empty());
}

TEST_CASE("by default our own ids are 0 inside, nobody else exists, and setgroups is denied") {
  const IdMaps maps = resolved({});
  CHECK(maps.uids == std::vector<IdRange>{{0, 1001, 1}});
  CHECK(maps.gids == std::vector<IdRange>{{0, 1002, 1}});
  CHECK(maps.deny_setgroups);
  CHECK(maps.uid_alone_will_do);
}

TEST_CASE("the current user stays who he is") {
  const IdMaps maps = resolved({.mode = IdMapPlan::Mode::current});
  CHECK(maps.uids == std::vector<IdRange>{{1001, 1001, 1}});
  CHECK(maps.gids == std::vector<IdRange>{{1002, 1002, 1}});
  CHECK(maps.deny_setgroups);
}

TEST_CASE("automatic ranges: 0 is our own id, the subordinate ones follow from 1 on") {
  const IdMaps maps = resolved({.mode = IdMapPlan::Mode::subordinate});
  CHECK(maps.uids == std::vector<IdRange>{{0, 1001, 1}, {1, 100000, 65536}});
  CHECK(maps.gids == std::vector<IdRange>{{0, 1002, 1}, {1, 200000, 1000}, {1001, 300000, 7}});
  CHECK(!maps.deny_setgroups);
  CHECK(!maps.uid_alone_will_do);
}

TEST_CASE("automatic ranges without an entry are an error that names the file and the cure") {
  IdMapCaller stranger = caller();
  stranger.user = "carl";
  stranger.uid = 7;
  const auto maps = resolve_id_maps({.mode = IdMapPlan::Mode::subordinate}, stranger);
  REQUIRE(!maps);
  CHECK(maps.error().code == Code::missing);
  CHECK(maps.error().what.find("/etc/subuid has no entry for carl (usermod") == 0);
  stranger.subuid = "carl:100:10";
  const auto gids = resolve_id_maps({.mode = IdMapPlan::Mode::subordinate}, stranger);
  REQUIRE(!gids);
  CHECK(gids.error().what.find("/etc/subgid") == 0);
}

TEST_CASE("explicit ranges are taken as they are, and checked") {
  using Setgroups = IdMapPlan::Setgroups;
  IdMapPlan plan{.mode = IdMapPlan::Mode::ranges, .uids = {{5, 1001, 1}}, .gids = {{0, 1002, 1}, {1, 200000, 5}}};
  CHECK(resolved(plan).uids == plan.uids);
  CHECK(!resolved(plan).deny_setgroups);
  CHECK(!resolved(plan).uid_alone_will_do);
  plan.setgroups = Setgroups::deny;
  CHECK(resolved(plan).deny_setgroups);
  plan.gids = {{0, 1002, 1}};
  plan.setgroups = Setgroups::automatic;
  CHECK(resolved(plan).deny_setgroups);
  plan.setgroups = Setgroups::allow;
  CHECK(!resolved(plan).deny_setgroups);
  plan.gids = {};
  CHECK(!resolve_id_maps(plan, caller()));
}

TEST_CASE("no maps of ours: nothing to write") {
  CHECK(resolved({.mode = IdMapPlan::Mode::none}).uids.empty());
}

TEST_CASE("the calling process is found in the password database or has a name made of its number") {
  const IdMapCaller found = IdMapCaller::current();
  CHECK(!found.user.empty());
}

}  // namespace nh::test
