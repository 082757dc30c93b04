// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/namespace_set.h"

#include "tests/support/catch.h"

namespace nh::test {

namespace {

NamespaceEntry parsed(NamespaceType type, std::string_view text) {
  auto entry = parse_namespace_entry(type, text);
  REQUIRE(entry);
  CHECK(entry->text() == text);
  return *entry;
}

}  // namespace

TEST_CASE("each kind of namespace has its names and its flag") {
  CHECK(namespace_name(NamespaceType::mount) == "mount");
  CHECK(proc_name(NamespaceType::mount) == "mnt");
  CHECK(namespace_type("network") == NamespaceType::net);
  CHECK(namespace_type("mnt") == NamespaceType::mount);
  CHECK(!namespace_type("nets"));
  int flags = 0;
  for (const NamespaceType type : all_namespace_types) {
    CHECK(namespace_type(namespace_name(type)) == type);
    CHECK((flags & clone_flag(type)) == 0);
    flags |= clone_flag(type);
  }
  CHECK(flags == 0x7e020080);  // linux/sched.h: CLONE_NEWUSER, PID, NET, IPC, UTS, CGROUP, NS, TIME
}

TEST_CASE("an entry is host, new, or a source to join") {
  CHECK(parsed(NamespaceType::net, "host") == NamespaceEntry{});
  CHECK(parsed(NamespaceType::net, "new") == NamespaceEntry::fresh());
  CHECK(parsed(NamespaceType::net, "join:/run/netns/a:b") == NamespaceEntry::join_path("/run/netns/a:b"));
  CHECK(parsed(NamespaceType::pid, "join:fd:0") == NamespaceEntry::join_fd(0));
  CHECK(parsed(NamespaceType::mount, "join:pid:4711") == NamespaceEntry::join_pid(4711));
  CHECK(parsed(NamespaceType::user, "join:owner") == NamespaceEntry::join_owner());
}

TEST_CASE("an entry that is none names the kind and the rule") {
  for (const char* text : {"", "fresh", "New", "join", "join:", "join:fd:", "join:fd:x", "join:fd:-1", "join:fd:99999999999",
                           "join:pid:0", "join:pid:", "join:owner", "join:pid:1 "}) {
    CAPTURE(text);
    const auto entry = parse_namespace_entry(NamespaceType::uts, text);
    REQUIRE(!entry);
    CHECK(entry.error().code == Code::invalid);
    CHECK(entry.error().field == "uts");
    CHECK(entry.error().what.find("uts") != std::string::npos);
  }
}

TEST_CASE("KIND=ENTRY gives both, an unknown kind is named") {
  const auto both = parse_namespace("network=join:pid:1");
  REQUIRE(both);
  CHECK(both->first == NamespaceType::net);
  CHECK(both->second == NamespaceEntry::join_pid(1));
  const auto unknown = parse_namespace("syslog=new");
  REQUIRE(!unknown);
  CHECK(unknown.error().code == Code::unsupported);
  CHECK(unknown.error().what.find("\"syslog\"") != std::string::npos);
  CHECK(!parse_namespace("net"));
  CHECK(!parse_namespace("net=old"));
}

TEST_CASE("a kind that is named twice is an error that names both entries, and the first stays") {
  NamespaceSet set;
  REQUIRE(set.set(NamespaceType::net, NamespaceEntry::fresh()));
  const auto twice = set.set(NamespaceType::net, NamespaceEntry::join_path("/run/netns/x"));
  REQUIRE(!twice);
  CHECK(twice.error().code == Code::in_use);
  CHECK(twice.error().field == "net");
  CHECK(twice.error().what == "net namespace: named twice: new and join:/run/netns/x");
  CHECK(set.is_fresh(NamespaceType::net));
  // The same entry again is a duplicate too, and so is one after "host".
  CHECK(!set.set(NamespaceType::net, NamespaceEntry::fresh()));
  REQUIRE(set.set(NamespaceType::ipc, NamespaceEntry{}));
  CHECK(!set.set(NamespaceType::ipc, NamespaceEntry::fresh()));
}

TEST_CASE("a default never replaces what was asked for, and entries are found by kind") {
  NamespaceSet set;
  REQUIRE(set.set(NamespaceType::pid, NamespaceEntry{}));
  set.set_default(NamespaceType::pid, NamespaceEntry::fresh());
  set.set_default(NamespaceType::uts, NamespaceEntry::fresh());
  CHECK(set.is_host(NamespaceType::pid));
  CHECK(set.is_fresh(NamespaceType::uts));
  CHECK(set.has(NamespaceType::pid));
  CHECK(!set.has(NamespaceType::ipc));
  CHECK(set.entry(NamespaceType::ipc) == NamespaceEntry{});
  CHECK(!set.joins_any_but_user());
  REQUIRE(set.set(NamespaceType::user, NamespaceEntry::join_pid(1)));
  CHECK(!set.joins_any_but_user());
  REQUIRE(set.set(NamespaceType::net, NamespaceEntry::join_pid(1)));
  CHECK(set.joins_any_but_user());
}

TEST_CASE("pid and time namespaces, new or joined, take a fork") {
  for (const NamespaceType type : all_namespace_types)
    for (const NamespaceEntry& entry : {NamespaceEntry::fresh(), NamespaceEntry::join_pid(1)}) {
      NamespaceSet set;
      REQUIRE(set.set(type, entry));
      CHECK(set.needs_fork() == (type == NamespaceType::pid || type == NamespaceType::time));
    }
  CHECK(!NamespaceSet().needs_fork());
}

}  // namespace nh::test
